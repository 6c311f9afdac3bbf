"""One stream's records, read ahead of the sender.

Owns the bounded buffer between the journal and the wire. Must not know credit, sessions or other
streams.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay.clock import Clock
    from forebay.forwarding.journal_view import JournalView
    from forebay.model import Position, Record

READ_BYTES = 1 << 20
"""Asked of the journal at a time; a buffer holds at most half of it when the next read begins."""
GROUP_BYTES = 256 << 10
"""Payload bytes handed to the uplink at a time, unless one record is larger."""

_NOTHING_READ_PAUSE_S = 0.5


class Feed:
    """The records of one stream after a position.

    `run` fills the buffer, `take` empties it; both on one event loop.
    """

    def __init__(
        self,
        journal: JournalView,
        after: Position,
        committed: Mapping[int, int],
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        """Start behind `after` and pass over what `committed` (epoch to seq) covers.

        `wake` is called when there is more to take.
        """
        self._journal, self._clock, self._wake = journal, clock, wake
        self._after = after
        self._committed = committed
        self._buffer: deque[Record] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def first(self) -> Record | None:
        """The record that `take` gives next."""
        return self._buffer[0] if self._buffer else None

    async def run(self) -> None:
        """Read ahead until cancelled. JournalError ends it."""
        while True:
            await self._room.wait()
            await self._journal.wait_beyond(self._after)
            records = await self._journal.read(self._after, READ_BYTES)
            if not records:
                # Promised but not there: retention or quarantine was faster, and a successor is on
                # its way.
                await self._clock.sleep(_NOTHING_READ_PAUSE_S)
                continue
            self._after = records[-1].position
            for record in records:
                if record.position.seq > self._committed.get(record.position.epoch, 0):
                    self._buffer.append(record)
                    self._bytes += len(record.payload)
            if self._bytes > READ_BYTES // 2:
                self._room.clear()
            self._wake()

    def take(self, fits: Callable[[int, int], bool]) -> list[Record]:
        """Take records from the front, about GROUP_BYTES of them; maybe none.

        Stops before the first with which `fits(records, payload bytes)` does not hold.
        """
        group: list[Record] = []
        total = 0
        while self._buffer:
            size = len(self._buffer[0].payload)
            if (group and total + size > GROUP_BYTES) or not fits(len(group) + 1, total + size):
                break
            group.append(self._buffer.popleft())
            total += size
        self._bytes -= total
        if self._bytes <= READ_BYTES // 2:
            self._room.set()
        return group
