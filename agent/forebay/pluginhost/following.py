"""One stream, followed: out of the journal while there is a backlog, out of memory when live.

Owns the hand-over between the two, so that each record comes once, in the journal's order, and gets
its position when it is durable. Must not know windows or plugins.

    journal ──read──▶ drained ──▶ joined: items of the tail, at once
       ▲                            │  each is found again in the journal: its position
       └── the tail was too fast ───┘
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from forebay.columnar import decode_batch, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.model import RecordKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forebay.model import Batch, Position, Record, Schema, Stream
    from forebay.pluginhost.views import JournalView, TailView
    from forebay.pluginhost.windows import Moment

READ_BYTES = 128 << 10
"""Payload asked of the journal at a time: what is decoded at once must not hold up the polls."""
AHEAD_BYTES = 32 << 20
"""Payload that may be taken from memory before the disk has it; then the journal is waited for."""


@dataclass(slots=True)
class Mark:
    """Names one record; its position is None until the disk has it."""

    stream: Stream
    position: Position | None = None


class Fresh(NamedTuple):
    """A record that comes for the first time: its batches in order."""

    batches: tuple[Batch, ...]
    mark: Mark


class Snapshot(NamedTuple):
    """How far all was at one moment: to be saved when the results until then are durable.

    `first` are the first records that are still needed, `behind` the last that are not.
    """

    moment: Moment
    first: dict[Stream, Mark]
    behind: dict[Stream, Mark]
    read_to: dict[Stream, Position]

    def positions(self) -> dict[Stream, Position] | None:
        """Give behind which positions to read on; None if some are not known yet."""
        found: dict[Stream, Position] = {}
        for stream, read_to in self.read_to.items():
            first, behind = self.first.get(stream), self.behind.get(stream)
            mark = first or behind
            if mark is not None and mark.position is None:
                return None
            if first is not None and first.position is not None:
                found[stream] = first.position._replace(seq=first.position.seq - 1)
            elif behind is not None and behind.position is not None:
                found[stream] = max(behind.position, read_to)
            else:
                found[stream] = read_to
        return found


class Following:
    """One stream behind a position. All on one event loop."""

    def __init__(
        self,
        after: Position,
        journal: JournalView,
        tail: TailView,
        settled: Callable[[], Awaitable[None]],
        wanted: Callable[[Stream, Schema], bool],
    ) -> None:
        """Follow what is `wanted`; `settled` ends when all that was accepted is durable."""
        self.stream = after.stream
        self.read_to = after
        """All records up to here are accounted for."""
        self.time_ns = 0
        """The latest time in the last record that was read or taken."""
        self.damaged = self.thinned = 0
        """Records that could not be decoded; samples that thinning had taken before they came."""
        self._journal, self._tail = journal, tail
        self._settled, self._wanted = settled, wanted
        self._ahead: deque[tuple[bytes, Mark]] = deque()
        self._ahead_bytes = 0
        self._at: int | None = None
        self._join_at: int | None = None
        self._found: list[Fresh] = []
        self._reading = asyncio.Lock()

    @property
    def joined(self) -> bool:
        """Whether it follows in memory."""
        return self._at is not None

    @property
    def whole(self) -> bool:
        """Whether everything that was given has its position."""
        return not self._ahead

    @property
    def waits_in_journal(self) -> bool:
        """Whether `catch_up` finds something on the disk at once."""
        return self._join_at is not None and self.read_to < self._journal.newest(self.stream)

    def live(self) -> list[Fresh]:
        """Give what came in memory; nothing while it is not joined."""
        fresh, self._found = self._found, []
        if self._at is None or self._ahead_bytes > AHEAD_BYTES:
            return fresh
        if self._tail.first > self._at:
            self._at = self._join_at = None
            return fresh
        for item in self._tail.since(self._at):
            if item.stream is self.stream and self._wanted(item.stream, item.batches[0].schema):
                mark = Mark(self.stream)
                self._ahead.append((item.payload, mark))
                self._ahead_bytes += len(item.payload)
                self.time_ns = int(item.batches[-1].times_ns[-1])
                fresh.append(Fresh(item.batches, mark))
        self._at = self._tail.next
        return fresh

    async def catch_up(self) -> list[Fresh]:
        """Read on in the journal, or join the tail if there is nothing more. JournalErrors.

        A cancellation changes nothing.
        """
        async with self._reading:
            if self._join_at is None:
                join_at = self._tail.next
                await self._settled()
                self._join_at = join_at
            fresh, read_to = await self._read()
            if read_to == self.read_to:
                if self._ahead:
                    await self._journal.wait_beyond(self.read_to)
                elif self._tail.first <= self._join_at:
                    self._at = self._join_at
                else:
                    self._join_at = None
                return []
            return self._taken(fresh, read_to)

    async def confirm(self) -> None:
        """Find in the journal what was taken from memory, as far as it is durable."""
        async with self._reading:
            while self._ahead:
                fresh, read_to = await self._read()
                if read_to == self.read_to:
                    return
                self._found += self._taken(fresh, read_to)

    def skip(self, position: Position) -> None:
        """Go to `position`, and leave out what lies before it. Only while nobody reads."""
        self.read_to = max(self.read_to, position)
        self._ahead.clear()
        self._found.clear()
        self._ahead_bytes = 0

    async def _read(self) -> tuple[list[tuple[Record, Schema]], Position]:
        """Read records; give those that are wanted, and how far it was read."""
        records = await self._journal.read(self.read_to, READ_BYTES)
        found = []
        for record in records:
            if record.kind is RecordKind.BATCH:
                schema = self._schema(record)
                if schema is not None and self._wanted(self.stream, schema):
                    found.append((record, schema))
        return found, records[-1].position if records else self.read_to

    def _schema(self, record: Record) -> Schema | None:
        try:
            return self._journal.schema(peek_schema_id(record.payload))
        except (JournalCorrupt, KeyError):
            self.damaged += 1
            return None

    def _taken(self, found: list[tuple[Record, Schema]], read_to: Position) -> list[Fresh]:
        """Account for records that were read, and give those that were not taken from memory."""
        fresh: list[Fresh] = []
        for record, schema in found:
            number = self._tail.find(record.payload)
            if number is not None and self._at is not None:
                # Nobody took from memory for a while: then it must not come from there as well.
                self._at = max(self._at, number + 1)
            elif number is not None and self._join_at is not None:
                self._join_at = max(self._join_at, number + 1)
            if self._is_ahead(record):
                continue
            try:
                batch = decode_batch(record.payload, schema)
            except JournalCorrupt:
                self.damaged += 1
                continue
            self.thinned += record.thinned
            self.time_ns = record.time_max_ns
            there = replace(batch, stream=self.stream)
            fresh.append(Fresh((there,), Mark(self.stream, record.position)))
        self.read_to = read_to
        return fresh

    def _is_ahead(self, record: Record) -> bool:
        """Give its position to what was taken from memory; whether it was.

        What was taken before it and did not come was lost on its way to the disk.
        """
        if not any(payload == record.payload for payload, _ in self._ahead):
            return False
        while True:
            payload, mark = self._ahead.popleft()
            self._ahead_bytes -= len(payload)
            mark.position = record.position
            if payload == record.payload:
                return True
