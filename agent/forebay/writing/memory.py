"""Which writes were let out before: what the audit stream says of the last ones.

Owns the reading of that stream at a start. Must not know the gate.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.columnar import decode_batch, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.model import Outcome, Position, RecordKind, Stream
from forebay.writing.audit import INTENT, SCHEMA, Deed, from_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.model import Record

MAX_IDS = 10_000
"""Requests that are remembered; the audit stream itself holds those of `journal.max_age`."""
READ_BYTES = 16 << 20
"""How far back the audit stream is read at a start, in bytes of its segments."""
CHUNK_BYTES = 256 << 10


class SegmentView(Protocol):
    """What is asked of a segment."""

    @property
    def stream(self) -> Stream:
        """Its stream."""
        ...

    @property
    def epoch(self) -> int:
        """Its epoch."""
        ...

    @property
    def first_seq(self) -> int:
        """Seq of its first record."""
        ...

    @property
    def bytes(self) -> int:
        """What it takes."""
        ...


class AuditTrail(Protocol):
    """The journal as far as the gate needs it."""

    async def opened(self) -> None:
        """Return once there is a journal to read."""
        ...

    def segments(self) -> Sequence[SegmentView]:
        """Give all segments, oldest first within a stream."""
        ...

    def newest(self, stream: Stream) -> Position:
        """Give the position of the last durable record."""
        ...

    async def read(self, after: Position, max_bytes: int) -> list[Record]:
        """Give durable records after `after`, in order."""
        ...


class Done(NamedTuple):
    """One request that was let out, and how it ended; None while nobody has said."""

    deed: Deed
    outcome: Outcome | None


class Memory:
    """Requests by id, the latest MAX_IDS of them."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._done: OrderedDict[str, Done] = OrderedDict()

    def get(self, id_: str) -> Done | None:
        """Give what became of a request; None if it was never let out, or too long ago."""
        return self._done.get(id_)

    def note(self, deed: Deed) -> None:
        """Take over one deed.

        What was refused before it went out is no use of its id, nor is what was refused because its
        id was another request's.
        """
        known = self._done.get(deed.id)
        if deed.step == INTENT:
            self._done[deed.id] = Done(deed, None)
            self._done.move_to_end(deed.id)
        elif known is not None and known.outcome is None and known.deed.asks(deed):
            told = {outcome.value: outcome for outcome in Outcome}
            self._done[deed.id] = Done(deed, told.get(deed.outcome, Outcome.UNKNOWN))
        while len(self._done) > MAX_IDS:
            self._done.popitem(last=False)

    def open(self) -> list[Deed]:
        """Give the intents of which nobody has said how they ended, oldest first."""
        return [done.deed for done in self._done.values() if done.outcome is None]


async def remember(trail: AuditTrail, memory: Memory) -> list[tuple[Deed, int]]:
    """Fill `memory` with what the end of the audit stream says. Raises JournalErrors.

    Gives the latest MAX_IDS intents, oldest first, each with when it was (wall clock, ns).
    """
    intents: deque[tuple[Deed, int]] = deque(maxlen=MAX_IDS)
    after, end = _begin(trail.segments()), trail.newest(Stream.AUDIT)
    while after < end:
        records = await trail.read(after, CHUNK_BYTES)
        if not records:
            break
        after = records[-1].position
        for deed, wall_ns in await asyncio.to_thread(_deeds, records):
            memory.note(deed)
            if deed.step == INTENT:
                intents.append((deed, wall_ns))
    return list(intents)


def _begin(segments: Iterable[SegmentView]) -> Position:
    """Give a position from which on there is about READ_BYTES of the audit."""
    after, size = Position(Stream.AUDIT, 0, 0), 0
    for segment in reversed([one for one in segments if one.stream is Stream.AUDIT]):
        after = Position(Stream.AUDIT, segment.epoch, segment.first_seq - 1)
        size += segment.bytes
        if size >= READ_BYTES:
            break
    return after


def _deeds(records: Sequence[Record]) -> list[tuple[Deed, int]]:
    """Give the deeds in `records`, and when each was; one that cannot be decoded says nothing."""
    found: list[tuple[Deed, int]] = []
    for record in records:
        if record.kind is RecordKind.BATCH:
            try:
                if peek_schema_id(record.payload) == SCHEMA.id:
                    batch = decode_batch(record.payload, SCHEMA)
                    found += zip(from_batch(batch), batch.times_ns.tolist(), strict=True)
            except JournalCorrupt:
                continue
    return found
