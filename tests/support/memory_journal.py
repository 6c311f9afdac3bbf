"""A journal without a disk, for tests of what reads one. Satisfies `forwarding.JournalView`."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.columnar import decode_schema
from forebay.interfaces import Head
from forebay.model import Position, Record, RecordKind, Schema, Stream
from forebay.testing.records import make_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.journal.entry import Entry


@dataclass(frozen=True)
class MemorySegment:
    """All records of one stream's epoch."""

    stream: Stream
    epoch: int
    first_seq: int
    last_seq: int
    bytes: int
    time_min_ns: int
    time_max_ns: int


@dataclass(frozen=True)
class MemoryWitness:
    """What a destination said of its chain."""

    position: Position
    chain: bytes
    incarnation: str


@dataclass
class MemoryCursor:
    """Goes back only by `rewind`, and keeps what was rejected."""

    rejected: dict[Position, int] = field(default_factory=dict)
    at: dict[Stream, Position] = field(default_factory=dict)
    witnesses: dict[Stream, MemoryWitness] = field(default_factory=dict)
    began: dict[Stream, tuple[Position, ...]] = field(default_factory=dict)
    rewinds: list[Position] = field(default_factory=list)
    kept: dict[Stream, tuple[tuple[Position, Position], ...]] = field(default_factory=dict)

    def get(self, stream: Stream) -> Position:
        return self.at.get(stream, Position(stream, 0, 0))

    def advance(self, position: Position) -> None:
        self.at[position.stream] = max(position, self.get(position.stream))

    def reject(self, position: Position, samples: int) -> None:
        self.rejected[position] = samples

    def accept(self, position: Position, samples: int) -> None:
        assert self.rejected.pop(position) == samples

    def begin(
        self, stream: Stream, position: Position, islands: Iterable[tuple[Position, Position]] = ()
    ) -> None:
        self.kept[stream] = tuple(islands)
        self.began[stream] = (position, *(end for island in self.kept[stream] for end in island))

    def keep(self, stream: Stream, islands: Iterable[tuple[Position, Position]]) -> None:
        self.kept[stream] = tuple(islands)

    def islands(self, stream: Stream) -> tuple[tuple[Position, Position], ...]:
        return self.kept.get(stream, ())

    def rewind(self, position: Position) -> None:
        assert position < self.get(position.stream)
        self.rewinds.append(position)
        self.kept.pop(position.stream, None)
        self.at[position.stream] = position

    def witness(self, stream: Stream) -> MemoryWitness | None:
        return self.witnesses.get(stream)

    def testify(self, position: Position, chain: bytes, incarnation: str) -> None:
        self.witnesses[position.stream] = MemoryWitness(position, chain, incarnation)


@dataclass(frozen=True)
class MemoryCopy:
    """One record that was set aside."""

    uplink: str
    record: Record
    code: str
    reason: str

    @property
    def position(self) -> Position:
        return self.record.position

    @property
    def kind(self) -> RecordKind:
        return self.record.kind

    @property
    def samples(self) -> int:
        return self.record.samples


class MemoryQuarantine:
    """Copies in memory."""

    def __init__(self) -> None:
        self.kept: list[MemoryCopy] = []

    def copies(self, uplink: str = "") -> list[MemoryCopy]:
        return [copy for copy in self.kept if uplink in ("", copy.uplink)]

    async def put(
        self, record: Record, *, uplink: str, code: str, reason: str, schema: bytes = b""
    ) -> None:
        if all((c.uplink, c.position) != (uplink, record.position) for c in self.kept):
            self.kept.append(MemoryCopy(uplink, record, code, reason))


class MemoryJournal:
    """Records in memory; `append` makes them durable at once."""

    def __init__(self, *records: Record) -> None:
        self.cursors: dict[str, MemoryCursor] = {}
        self.fails: Exception | None = None
        self.reads = 0
        self._records: dict[Stream, list[Record]] = {stream: [] for stream in Stream}
        self._grown = asyncio.Event()
        self._begun = 0
        self.quarantine = MemoryQuarantine()
        self.new_epochs: list[str] = []
        self.directory = Path("/dev/null/nowhere")  # where nothing can be kept
        self.append(*records)

    def append(self, *records: Record) -> None:
        """Add records, each stream's in order."""
        for record in records:
            self._records[record.position.stream].append(record)
        self._grown.set()

    def fail(self, error: Exception) -> None:
        """Let this and every later call of a reader raise `error`."""
        self.fails = error
        self._grown.set()

    def drop(self, stream: Stream, through: int) -> None:
        """Forget the records of `stream` up to seq `through`, as retention does."""
        kept = [r for r in self._records[stream] if r.position.seq > through]
        self._records[stream] = kept

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """Write behind the newest record, or into the epoch that `new_epoch` began."""
        epoch = max(self.epoch, 1 << 32)
        for entry in entries:
            of = [r for r in self._records[entry.stream] if r.position.epoch == epoch]
            seq = of[-1].position.seq + 1 if of else 1
            self.append(
                make_record(
                    seq,
                    entry.payload,
                    stream=entry.stream,
                    epoch=epoch,
                    kind=entry.kind,
                    samples=entry.samples,
                )
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def new_epoch(self, reason: str, above: int = 0) -> None:
        self.new_epochs.append(reason)
        self._begun = max(self.epoch, above) + (1 << 32)

    @property
    def epoch(self) -> int:
        newest = max((r.position.epoch for of in self._records.values() for r in of), default=0)
        return max(newest, self._begun)

    def newest(self, stream: Stream) -> Position:
        of = self._records[stream]
        return of[-1].position if of else Position(stream, 0, 0)

    async def read(
        self, after: Position, max_bytes: int, cursor: MemoryCursor | None = None
    ) -> list[Record]:
        self.reads += 1
        if self.fails is not None:
            raise self.fails
        out: list[Record] = []
        size = 0
        for record in self._after(after):
            size += len(record.payload)
            if out and size > max_bytes:
                break
            out.append(record)
        return out

    async def wait_beyond(self, position: Position) -> None:
        while self.fails is None and not self._after(position):
            self._grown.clear()
            await self._grown.wait()
        if self.fails is not None:
            raise self.fails

    async def chain(
        self, position: Position, since: tuple[Position, bytes] | None = None
    ) -> bytes | None:
        begin, chain = (0, bytes(32)) if since is None else (since[0].seq, since[1])
        behind = self._after(Position(position.stream, position.epoch, begin))
        seqs = range(begin + 1, position.seq + 1)
        records = behind[: len(seqs)]
        if [r.position[1:] for r in records] != [(position.epoch, seq) for seq in seqs]:
            return None
        for record in records:
            chain = hashlib.sha256(chain + record.hash).digest()
        return chain

    def heads(self) -> tuple[Head, ...]:
        return tuple(Head(s.stream, s.epoch, s.first_seq, s.last_seq + 1) for s in self.segments())

    def schema(self, schema_id: int) -> Schema:
        for records in self._records.values():
            for record in records:
                if record.kind is RecordKind.SCHEMA:
                    schema = decode_schema(record.payload)
                    if schema.id == schema_id:
                        return schema
        raise KeyError(schema_id)

    def cursor(self, name: str) -> MemoryCursor:
        return self.cursors.setdefault(name, MemoryCursor())

    def segments(self) -> tuple[MemorySegment, ...]:
        runs: dict[tuple[Stream, int], list[Record]] = {}
        for stream, records in self._records.items():
            for record in records:
                runs.setdefault((stream, record.position.epoch), []).append(record)
        return tuple(
            MemorySegment(
                stream,
                epoch,
                run[0].position.seq,
                run[-1].position.seq,
                sum(len(r.payload) for r in run),
                run[0].time_min_ns,
                run[-1].time_max_ns,
            )
            for (stream, epoch), run in runs.items()
        )

    def _after(self, position: Position) -> list[Record]:
        records = self._records[position.stream]
        start = bisect_right(records, position[1:], key=lambda r: r.position[1:])
        return records[start:]
