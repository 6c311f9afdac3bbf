"""One lane of one stream, read ahead of the sender.

Owns the bounded buffer between the journal and the wire, and the knowledge of holes: who reads the
journal in order knows what it no longer holds. Must not know credit, sessions or other lanes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.clock import Clock
    from forebay.forwarding.journal_view import CursorView, JournalView
    from forebay.model import Position, Record

READ_BYTES = 1 << 20
"""Asked of the journal at a time; a buffer holds at most half of it when the next read begins."""
GROUP_BYTES = 256 << 10
"""Payload bytes handed to the uplink at a time, unless one record is larger."""

_NOTHING_READ_PAUSE_S = 0.5


class Parcel(NamedTuple):
    """A record to send.

    Above 0, `absent_from` says that what lies from there up to the record will not come. `again`:
    the destination has the record; it goes once more to tell of such a hole.
    """

    record: Record
    absent_from: int
    again: bool


class Known(Protocol):
    """What need not be sent."""

    def knows(self, position: Position) -> bool:
        """Whether a record need not be sent."""
        ...

    def unknown(self, first: Position, last_seq: int) -> int:
        """Give the first seq of a run of which the destination knows nothing; 0 if it knows all."""
        ...


class Feed:
    """The records of one stream after a position, and up to another if there is an `end`.

    `run` fills the buffer, `first` and `take` empty it; all on one event loop.
    """

    def __init__(
        self,
        source: tuple[JournalView, CursorView, Clock],
        after: Position,
        known: Known,
        wake: Callable[[], None],
    ) -> None:
        """Start behind `after` and pass over what is `known`.

        `wake` is called when there is more to take, or nothing more will come.
        """
        self._journal, self._cursor, self._clock = source
        self._known, self._wake = known, wake
        self._read_to = after
        self._end: Position | None = None
        self._buffer: deque[tuple[Record, Position]] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._moved = asyncio.Event()
        self.passed = after
        """How far records were taken or needed not to be."""

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._is_read() and not self._buffer

    def stop_at(self, end: Position) -> None:
        """Give nothing behind `end`, but for a record that tells of a hole before it.

        The end may come nearer once, and go further at any time.
        """
        self._end = end
        self._moved.set()
        while self._buffer and self._buffer[-1][0].position > end:
            record, _ = self._buffer.pop()
            self._bytes -= len(record.payload)
            self._read_to = self._buffer[-1][0].position if self._buffer else self.passed
        self._made_room()

    async def run(self) -> NoReturn:
        """Read ahead until cancelled. JournalError ends it."""
        while True:
            await self._room.wait()
            if self._is_read():
                self._wake()
                self._moved.clear()
                await self._moved.wait()
                continue
            await self._journal.wait_beyond(self._read_to)
            before = self._read_to
            records = await self._journal.read(before, READ_BYTES, self._cursor)
            if self._read_to != before:  # the end came nearer meanwhile
                continue
            if not records:
                # Promised but not there: retention or quarantine was faster, and a successor is on
                # its way.
                await self._clock.sleep(_NOTHING_READ_PAUSE_S)
                continue
            for record in records:
                self._put(record)
            if self._bytes > READ_BYTES // 2:
                self._room.clear()
            self._wake()

    def _is_read(self) -> bool:
        return self._end is not None and self._read_to >= self._end

    def _put(self, record: Record) -> None:
        if self._is_read():
            return
        due = self._read_to._replace(epoch=record.position.epoch, seq=1)
        if self._read_to.epoch == record.position.epoch:
            due = self._read_to._replace(seq=self._read_to.seq + 1)
        self._read_to = record.position
        if self._end is not None and due > self._end:
            return
        self._buffer.append((record, due))
        self._bytes += len(record.payload)

    def first(self) -> Record | None:
        """Give the record that `take` gives next; pass over what is known."""
        while self._buffer:
            record, due = self._buffer[0]
            if not self._known.knows(record.position) or self._hole(record, due):
                return record
            self._pop()
        return None

    def take(self, fits: Callable[[int, int], bool]) -> list[Parcel]:
        """Take records from the front, about GROUP_BYTES of them; maybe none.

        Stops before the first with which `fits(records, payload bytes)` does not hold.
        """
        group: list[Parcel] = []
        total = 0
        while (record := self.first()) is not None:
            size = len(record.payload)
            if (group and total + size > GROUP_BYTES) or not fits(len(group) + 1, total + size):
                break
            _, due = self._buffer[0]
            again = self._known.knows(record.position)
            group.append(Parcel(record, self._hole(record, due), again))
            self._pop()
            total += size
        return group

    def _hole(self, record: Record, due: Position) -> int:
        """Give the first seq before a record that is gone and that the destination waits for."""
        if record.position.seq <= due.seq:
            return 0
        return self._known.unknown(due, record.position.seq - 1)

    def _pop(self) -> None:
        record, _ = self._buffer.popleft()
        self.passed = max(self.passed, record.position)
        self._bytes -= len(record.payload)
        self._made_room()

    def _made_room(self) -> None:
        if self._bytes <= READ_BYTES // 2:
            self._room.set()
