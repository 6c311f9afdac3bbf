"""A fleet server's ingest for tests: speaks `uplink.proto`, stores in memory, fails as told.

Owns one listening port and the records it took, which survive `stop` and `start`. Must not know the
agent: it reads messages, not the model.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Self

import google_crc32c
import grpc
import grpc.aio

from forebay._proto import batch_pb2
from forebay._proto import uplink_pb2 as pb
from forebay._proto.uplink_pb2_grpc import UplinkServicer, add_UplinkServicer_to_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    Context = grpc.aio.ServicerContext[pb.FromGateway, pb.FromServer]

Key = tuple[int, int]
"""Stream number and epoch."""
MAX_ISLANDS = 16
"""What one message tells of them."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong; by default nothing. Read anew for each session and each group of records."""

    refuse: grpc.StatusCode | None = None
    """End each session with this status instead of a Welcome."""
    retry_s: float | None = None
    """With `refuse`: ask for this wait in google.rpc.RetryInfo."""
    no_welcome: bool = False
    """Take the Hello and say nothing."""
    no_acks: bool = False
    """Commit, and never say so."""
    duplicate_acks: bool = False
    """Say each ack twice."""
    stale_acks: bool = False
    """Before the first ack of a session, repeat one from before it."""
    backward_acks: bool = False
    """After each ack, one that takes a record back."""
    acks_ahead: int = 0
    """Acknowledge so many records more than were sent."""
    crash_after: int | None = None
    """End the session once it has committed so many records, before acknowledging the last."""
    commit_most: int | None = None
    """Commit so many records in a session; take the rest and forget it."""
    reject: frozenset[int] = frozenset()
    """Refuse these seqs for good: acknowledged, not stored."""
    postpone: frozenset[int] = frozenset()
    """Refuse these seqs for now."""
    poison: frozenset[int] = frozenset()
    """Break the session at batches of these seqs, with nothing of their group stored."""
    alone: bool = False
    """Break the session at each message of more than one batch."""
    hang: frozenset[int] = frozenset()
    """Take nothing more of a session after batches of these seqs, and say nothing."""
    delay_s: float = 0.0
    """Wait so long before each commit."""


@dataclass(slots=True)
class Store:
    """What the server durably has.

    `records` are in the order of their commits, each once. `committed` passes over a hole only if
    the gateway said that nothing will come there, by itself or in a Gap; `islands` are the seqs
    known beyond it.
    """

    records: list[pb.Record] = field(default_factory=list)
    committed: dict[Key, int] = field(default_factory=dict)
    islands: dict[Key, set[int]] = field(default_factory=dict)
    hashes: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    duplicates: int = 0
    damaged: int = 0
    forked: int = 0

    def take(self, record: pb.Record) -> bool:
        """Commit `record`, unless it is a duplicate or does not match its checksum.

        ForkedError if another record has its position.
        """
        key: Key = (record.stream, record.epoch)
        if google_crc32c.value(record.payload) != record.crc:
            self.damaged += 1
            return False
        if record.absent_from:
            self.cover(key, record.absent_from, record.seq - 1)
        known = self.hashes.get((*key, record.seq))
        if known is not None and known != record.hash:
            self.forked += 1
            raise ForkedError
        if known is not None:
            self.duplicates += 1
            return False
        self.hashes[(*key, record.seq)] = record.hash
        self.cover(key, record.seq, record.seq)
        self.records.append(record)
        if record.kind == pb.GAP:
            gap = batch_pb2.Gap.FromString(record.payload)
            if gap.seq_to:
                self.cover((record.stream, gap.epoch), gap.seq_from, gap.seq_to)
        return True

    def forget(self, keep: int) -> None:
        """Go back to the first `keep` records, as from a backup."""
        kept = self.records[:keep]
        self.records, self.committed, self.islands, self.hashes = [], {}, {}, {}
        for record in kept:
            self.take(record)

    def cover(self, key: Key, first: int, last: int) -> None:
        """Count `first..last` as known."""
        islands = self.islands.setdefault(key, set())
        islands.update(range(first, last + 1))
        committed = self.committed.get(key, 0)
        while committed + 1 in islands:
            committed += 1
        self.committed[key] = committed
        islands.difference_update([seq for seq in islands if seq <= committed])

    def chain(self, key: Key, seq: int) -> bytes:
        """Give the hash chain of a line at `seq`; empty if records on the way were never here."""
        chain = bytes(32)
        for place in range(1, seq + 1):
            known = self.hashes.get((*key, place))
            if known is None:
                return b""
            chain = hashlib.sha256(chain + known).digest()
        return chain

    def runs(self, key: Key) -> list[tuple[int, int]]:
        """Give the islands of a line as runs, ascending."""
        runs: list[tuple[int, int]] = []
        for seq in sorted(self.islands.get(key, ())):
            if runs and runs[-1][1] == seq - 1:
                runs[-1] = (runs[-1][0], seq)
            else:
                runs.append((seq, seq))
        return runs


class ForkedError(Exception):
    """Another record has this position in the store."""


class UplinkServer(UplinkServicer):
    """`async with` starts it on a free port of the loopback.

    `faults` and limits may change at any time.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Serve under `credentials`, or in plain text."""
        self.faults = Faults()
        self.store = Store()
        self.credit_bytes = 4 << 20
        self.max_record_bytes = 4 << 20
        self.newest_epoch = 0
        self.incarnation = "test-1"
        self.hellos: list[pb.Hello] = []
        self.most_unacked_bytes = 0
        self.port = 0
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """Where it listens: the same after each `start`."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen and serve."""
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.ping_timeout_ms", 300_000),  # gRPC's minute is too short for a slow line
            ("grpc.max_receive_message_length", 64 << 20),
        )
        self._server = grpc.aio.server(options=options)
        add_UplinkServicer_to_server(self, self._server)
        if self._credentials is None:
            self.port = self._server.add_insecure_port(self.address)
        else:
            self.port = self._server.add_secure_port(self.address, self._credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Break every connection and stop listening; what is stored stays."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace=None)

    async def Session(  # noqa: N802 - the name of the rpc
        self, request_iterator: AsyncIterator[pb.FromGateway], context: Context
    ) -> None:
        """Serve one session."""
        first = await anext(aiter(request_iterator))
        self.hellos.append(first.hello)
        for head in first.hello.heads:
            self.store.cover((head.stream, head.epoch), 1, head.first_seq - 1)
        faults = self.faults
        if faults.refuse is not None:
            await _refuse(context, faults.refuse, faults.retry_s)
        if faults.no_welcome:
            await asyncio.Event().wait()
        await context.write(pb.FromServer(welcome=self._welcome()))
        began = dict(self.store.committed)
        session = _Session(began, dict(began))
        async for message in request_iterator:
            await self._take_group(message.records.records, session, context)

    async def _take_group(
        self, records: Sequence[pb.Record], session: _Session, context: Context
    ) -> None:
        faults = self.faults
        session.unacked_bytes += sum(len(record.payload) for record in records)
        self.most_unacked_bytes = max(self.most_unacked_bytes, session.unacked_bytes)
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        await _break_on({r.seq for r in records if r.kind == pb.BATCH}, faults, context)
        acks: dict[Key, pb.Ack] = {}
        for record in records:
            key: Key = (record.stream, record.epoch)
            ack = acks.setdefault(key, pb.Ack(credit_bytes=self.credit_bytes))
            if record.seq in faults.postpone:
                ack.rejected.add(seq=record.seq, code="BadResourceUnavailable", permanent=False)
                break
            if faults.commit_most is not None and session.commits >= faults.commit_most:
                continue
            if record.seq in faults.reject:
                ack.rejected.add(seq=record.seq, code="BadDecodingError", permanent=True)
                self.store.cover(key, record.seq, record.seq)
                continue
            session.commits += self._keep(record, ack)
            if session.commits == faults.crash_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "crashed after the commit")
        if not faults.no_acks:
            session.unacked_bytes = 0
        for number, (key, ack) in enumerate(acks.items(), 1):
            session.answered += len(records) if number == len(acks) else 0
            ack.answered = session.answered
            await self._acknowledge(key, ack, session, context)

    def _keep(self, record: pb.Record, ack: pb.Ack) -> bool:
        try:
            return self.store.take(record)
        except ForkedError:
            ack.rejected.add(seq=record.seq, code="Forked", permanent=True)
            return False

    async def _acknowledge(
        self, key: Key, ack: pb.Ack, session: _Session, context: Context
    ) -> None:
        faults = self.faults
        if faults.no_acks:
            return
        seq = self.store.committed.get(key, 0) + faults.acks_ahead
        told = [seq]
        if faults.stale_acks and session.acked.get(key, 0) == session.began.get(key, 0):
            told.insert(0, max(session.began.get(key, 0) - 1, 0))
        if faults.duplicate_acks:
            told.append(seq)
        if faults.backward_acks:
            told.append(seq - 1)
        session.acked[key] = seq
        for number in told:
            message = pb.FromServer(ack=ack)
            message.ack.committed.CopyFrom(self._committed(key, number))
            await context.write(message)

    def _welcome(self) -> pb.Welcome:
        return pb.Welcome(
            incarnation=self.incarnation,
            committed=[self._committed(key, seq) for key, seq in self.store.committed.items()],
            credit_bytes=self.credit_bytes,
            max_record_bytes=self.max_record_bytes,
            newest_epoch=self.newest_epoch,
        )

    def _committed(self, key: Key, seq: int) -> pb.Committed:
        message = pb.Committed(epoch=key[1], committed_seq=seq)
        message.stream = key[0]  # type: ignore[assignment]
        message.chain = self.store.chain(key, seq)
        for first, last in self.store.runs(key)[:MAX_ISLANDS]:
            if first > seq + 1:
                message.islands.add(first_seq=first, last_seq=last)
        return message


@dataclass(slots=True)
class _Session:
    """What one session began with, what it acknowledged, and its own counts."""

    began: dict[Key, int]
    acked: dict[Key, int]
    commits: int = 0
    unacked_bytes: int = 0
    answered: int = 0


async def _break_on(seqs: set[int], faults: Faults, context: Context) -> None:
    """Break, or fall silent, on what breaks it."""
    if seqs & faults.poison or (faults.alone and len(seqs) > 1):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "crashed on a record")
    if seqs & faults.hang:
        await asyncio.Event().wait()


async def _refuse(context: Context, code: grpc.StatusCode, retry_s: float | None) -> NoReturn:
    trailing = () if retry_s is None else (("grpc-status-details-bin", _details(code, retry_s)),)
    await context.abort(code, "refused by a fault", trailing)


def _details(code: grpc.StatusCode, retry_s: float) -> bytes:
    """Encode google.rpc.Status with a RetryInfo, by hand: a reader must not be tested by itself."""
    seconds, nanos = int(retry_s), int(retry_s % 1 * 1e9)
    duration = b"\x08" + _varint(seconds) + b"\x10" + _varint(nanos)
    retry_info = _field(1, duration)
    detail = _field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _field(2, retry_info)
    return b"\x08" + _varint(code.value[0]) + _field(3, detail)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
