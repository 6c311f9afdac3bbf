"""What becomes of each record: stored, known already, refused, or a fork.

Runs inside the writer's transaction. Owns the decisions. Must not know sessions, threads or gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.envelope import Content, Refused, identity, judge
from forebay_fleet.gaps import gapped_samples
from forebay_fleet.ledger import MAX_ISLANDS, Coverage
from forebay_fleet.store.writer import LineKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forebay_fleet.limits import Limits
    from forebay_fleet.store.writer import Line, StoreWriter

MAX_NUMBER = 1 << 62
"""Above every seq and epoch's creation order that can occur; SQLite's integers end at 2^63."""


class SessionEnded(Exception):
    """The session cannot go on.

    `status` is the name of the gRPC status code that the gateway gets.
    """

    def __init__(self, status: str, message: str) -> None:
        """Keep the status and what is wrong."""
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class _Touched:
    """What one parcel did to one line: its highest seq, and what was refused."""

    highest: int = 0
    rejected: list[uplink_pb2.Rejection] = field(default_factory=list)


class Ingest:
    """Applies what gateways send to the store."""

    def __init__(self, store: StoreWriter, limits: Limits, now_ns: Callable[[], int]) -> None:
        """Use `now_ns` (wall time) for the times of receipt."""
        self._store = store
        self._limits = limits
        self._now_ns = now_ns

    def greet(self, hello: uplink_pb2.Hello) -> tuple[int, uplink_pb2.Welcome]:
        """Open a session: give the gateway's number and what it may send from where.

        Positions before a head's `first_seq` will never come: they are covered as not held. Raises
        SessionEnded.
        """
        _check_heads(hello.heads, self._limits.max_heads)
        gateway = self._store.greet(hello, self._now_ns(), self._limits.max_gateways)
        if gateway is None:
            raise SessionEnded("RESOURCE_EXHAUSTED", "this server takes no more gateways")
        welcome = uplink_pb2.Welcome(
            incarnation=self._store.incarnation,
            credit_bytes=self._limits.credit_bytes,
            max_record_bytes=self._limits.max_record_bytes,
        )
        for head in hello.heads:
            key = LineKey(gateway, head.stream, head.epoch)
            line = self._store.find_line(key)
            committed = line.coverage.committed if line else 0
            if head.first_seq - 1 > committed:
                line = self._store.line(key)
                self._cover_absent(line, 1, head.first_seq - 1)
            welcome.committed.append(_committed(key, line))
        return gateway, welcome

    def take(
        self, gateway: int, records: Iterable[uplink_pb2.Record]
    ) -> Callable[[], list[uplink_pb2.Ack]]:
        """Apply records in order; the result gives the acks, and is to be called after the commit.

        Raises SessionEnded for a fork or a record that no gateway may send; what was applied before
        it stays.
        """
        now_ns = self._now_ns()
        touched: dict[LineKey, _Touched] = {}
        for record in records:
            _check_position(record)
            key = LineKey(gateway, record.stream, record.epoch)
            line = self._store.line(key)
            at = touched.setdefault(key, _Touched())
            at.highest = max(at.highest, record.seq)
            try:
                self._take(line, record, now_ns)
            except Refused as refused:
                at.rejected.append(
                    uplink_pb2.Rejection(
                        seq=record.seq, code=refused.code, permanent=refused.permanent
                    )
                )
        return lambda: [self._ack(key, at) for key, at in touched.items()]

    def _take(self, line: Line, record: uplink_pb2.Record, now_ns: int) -> None:
        """Raises Refused or SessionEnded."""
        name = identity(record)
        if 0 < record.absent_from < record.seq:
            self._cover_absent(line, record.absent_from, record.seq - 1)
        if self._is_duplicate(line, record, name, now_ns):
            line.duplicates += 1
            return
        try:
            content = self._judge(line, record)
        except Refused as refused:
            if refused.permanent:
                self._store.reject(line, record, name, (refused.code, str(refused)), now_ns)
            raise
        self._store.insert(line, record, content.schema_id, now_ns)
        if record.kind == uplink_pb2.BATCH:
            line.samples += record.samples
        if content.gap is not None:
            self._account(line, record.seq, content.gap)

    def _is_duplicate(
        self, line: Line, record: uplink_pb2.Record, name: bytes, now_ns: int
    ) -> bool:
        """Whether the store has the record; not so if it was rejected: it may be sound by now.

        Raises Refused if a gap accounts for the position, SessionEnded for a fork.
        """
        if not line.coverage.covers(record.seq):
            if len(line.coverage.islands) >= MAX_ISLANDS:
                raise SessionEnded("RESOURCE_EXHAUSTED", "too many holes: send records in order")
            return False
        known = self._store.known(line, record.seq)
        if known is None:
            raise Refused("AccountedFor", "a gap accounts for this position")
        if known.hash != name:
            self._store.insert_fork(line, record.seq, name, now_ns)
            raise SessionEnded("FAILED_PRECONDITION", _fork(record))
        return not known.rejected

    def _judge(self, line: Line, record: uplink_pb2.Record) -> Content:
        gateway = line.key.gateway
        content = judge(
            record, self._limits.max_record_bytes, lambda id_: self._store.columns(gateway, id_)
        )
        schema = content.schema
        if schema is not None and not self._store.insert_schema(gateway, schema, record.payload):
            raise Refused("SchemaConflict", f"another schema has the id {schema.message.id:016x}")
        return content

    def _account(self, line: Line, seq: int, gap: batch_pb2.Gap) -> None:
        """Let a Gap record stand for the positions it names, which are of its own stream."""
        if not gap.seq_to:
            self._store.gaps.insert(line, seq, gap, gap.samples)
            return
        target = self._store.line(line.key._replace(epoch=gap.epoch))
        self._store.gaps.insert(line, seq, gap, gapped_samples(self._store.gaps, target, gap))
        self._store.cover(target, gap.seq_from, gap.seq_to)

    def _cover_absent(self, line: Line, first: int, last: int) -> None:
        """Account for what the gateway says will not come: such holes must not stop the acks."""
        for hole in line.coverage.holes(first, last):
            self._store.gaps.insert_not_held(line, *hole)
        self._store.cover(line, first, last)

    def _ack(self, key: LineKey, at: _Touched) -> uplink_pb2.Ack:
        return uplink_pb2.Ack(
            committed=_committed(key, self._store.find_line(key), at.highest),
            rejected=at.rejected,
            credit_bytes=self._limits.credit_bytes,
        )


def _committed(key: LineKey, line: Line | None, around: int = 0) -> uplink_pb2.Committed:
    coverage = line.coverage if line else Coverage()
    message = uplink_pb2.Committed(
        stream=cast("uplink_pb2.Stream", key.stream),
        epoch=key.epoch,
        committed_seq=coverage.committed,
        chain=line.chain if line else b"",
    )
    for first, last in coverage.reported(around):
        message.islands.add(first_seq=first, last_seq=last)
    return message


def _check_heads(heads: Iterable[uplink_pb2.Head], most: int) -> None:
    for number, head in enumerate(heads):
        if number >= most:
            raise SessionEnded("INVALID_ARGUMENT", f"more than {most} heads")
        if not uplink_pb2.AUDIT <= head.stream <= uplink_pb2.BULK or not 0 < head.epoch < 1 << 63:
            raise SessionEnded("INVALID_ARGUMENT", "a head of no stream or epoch")
        if not 1 <= head.first_seq <= head.next_seq <= MAX_NUMBER:
            raise SessionEnded("INVALID_ARGUMENT", "a head with impossible numbers")


def _check_position(record: uplink_pb2.Record) -> None:
    if not uplink_pb2.AUDIT <= record.stream <= uplink_pb2.BULK or not 0 < record.epoch < 1 << 63:
        raise SessionEnded("INVALID_ARGUMENT", "a record of no stream or epoch")
    if not 1 <= record.seq < MAX_NUMBER:
        raise SessionEnded("INVALID_ARGUMENT", "a record with an impossible number")


def _fork(record: uplink_pb2.Record) -> str:
    stream = uplink_pb2.Stream.Name(record.stream).lower()
    return (
        f"fork: {stream} {record.epoch:016x} {record.seq} is another record here;"
        " the gateway's journal was copied or rolled back and needs a new epoch"
    )
