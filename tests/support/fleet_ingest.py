"""Ingest on a real store, without gRPC and threads, and small records to give it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.audit import verify
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.store.opening import connect
from forebay_fleet.store.reader import LineRow, StoreReader
from forebay_fleet.store.writer import StoreWriter
from support.fleet import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay_fleet.audit import Finding

EPOCH = 1 << 32
SECOND_NS = 1_000_000_000
LIMITS = Limits(max_gateways=2, max_record_bytes=1 << 20)


class Server:
    """Ingest on a real store, without gRPC and threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open()

    def open(self) -> None:
        self.store = StoreWriter(self.directory)
        self.ingest = Ingest(self.store, LIMITS, lambda: 1_000_000_000)

    def hello(self, *heads: tuple[int, ...], name: str = "g") -> uplink_pb2.Welcome:
        """Say Hello; a head is (first seq, next seq) and an epoch if it is not `EPOCH`."""
        hello = uplink_pb2.Hello(gateway=name)
        for first, following, *epoch in heads:
            hello.heads.add(
                stream=uplink_pb2.TELEMETRY,
                epoch=epoch[0] if epoch else EPOCH,
                first_seq=first,
                next_seq=following,
            )
        with self.store.transaction():
            self.gateway, welcome = self.ingest.greet(hello)
        return welcome

    def send(self, *records: uplink_pb2.Record) -> uplink_pb2.Ack:
        """Send records of one line and give its ack, as the committer does."""
        with self.store.transaction():
            told: Callable[[], list[uplink_pb2.Ack]] | SessionEnded
            try:
                told = self.ingest.take(self.gateway, records)
            except SessionEnded as ended:
                told = ended
        if isinstance(told, SessionEnded):
            raise told
        (ack,) = told()
        return ack

    def line(self) -> LineRow:
        (line,) = self.lines()
        return line

    def lines(self) -> list[LineRow]:
        with StoreReader(self.directory) as reader:
            return reader.lines()

    def finding(self) -> Finding:
        with StoreReader(self.directory) as reader:
            return verify(reader)

    def verified(self) -> list[str]:
        return self.finding().problems


def changed_by_hand(server: Server, *statements: str) -> None:
    """Close a server's store and change what is in it behind its back."""
    server.store.close()
    db, _ = connect(server.directory, None)
    with contextlib.closing(db), db.transaction():
        for sql in statements:
            db.execute(sql)


def islands(ack: uplink_pb2.Ack) -> list[tuple[int, int]]:
    return [(island.first_seq, island.last_seq) for island in ack.committed.islands]


def codes(ack: uplink_pb2.Ack) -> list[tuple[int, str, bool]]:
    return [(r.seq, r.code, r.permanent) for r in ack.rejected]


def gap(
    seq: int,
    first: int,
    last: int,
    samples: int = 0,
    epoch: int = EPOCH,
    cause: batch_pb2.GapCause = batch_pb2.CORRUPT,
    at: int = EPOCH,
) -> uplink_pb2.Record:
    """A Gap record at `seq` of epoch `at` that names `first..last` of `epoch`; 0: nothing."""
    payload = batch_pb2.Gap(cause=cause, epoch=epoch, seq_from=first, seq_to=last, samples=samples)
    return record(seq, uplink_pb2.GAP, payload.SerializeToString(), samples=samples, epoch=at)


def schema(seq: int) -> uplink_pb2.Record:
    message = batch_pb2.Schema(id=7, source="press", group="fast")
    message.tags.add(name="t", type=batch_pb2.BOOL)
    return record(seq, uplink_pb2.SCHEMA, message.SerializeToString())


def batch(
    seq: int, rows: int, *, thinned: int = 0, first: bytes = b"", epoch: int = EPOCH
) -> uplink_pb2.Record:
    """A batch of one BOOL column: as many samples as rows.

    With `thinned`, sparse and of revision 1; `first` is then the hash of the one it was.
    """
    message = batch_pb2.Batch(schema_id=7, rows=rows, compression=batch_pb2.NONE)
    columns = [
        (batch_pb2.TIME, batch_pb2.INT64, 8),
        (batch_pb2.RECEIVED, batch_pb2.INT64, 8),
        *([(batch_pb2.INDEX, batch_pb2.UINT32, 4)] if thinned else []),
        (batch_pb2.VALUES, batch_pb2.BOOL, 1),
    ]
    for role, kind, width in columns:
        message.columns.add(role=role, type=kind, transform=batch_pb2.PLAIN, bytes=rows * width)
    times_ns = [SECOND_NS * seq + row for row in range(rows)]
    packed = b"".join(time_ns.to_bytes(8, "little") for time_ns in times_ns)
    message.data = packed + bytes(8 * rows) + bytes(4 * rows if thinned else 0) + bytes(rows)
    message.raw_bytes = len(message.data)
    made = record(
        seq,
        uplink_pb2.BATCH,
        message.SerializeToString(),
        samples=rows,
        times_ns=(times_ns[0], times_ns[-1]),
        epoch=epoch,
    )
    if thinned:
        made.revision, made.thinned, made.hash = 1, thinned, first
    return made
