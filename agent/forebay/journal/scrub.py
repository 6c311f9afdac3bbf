"""Scrub: reads everything on disk once a week, so that damage is found before data is needed.

Owns the pace and the place. Must not know what damage is: `Journal.read` finds it, accounts for it
by a gap and goes on, here as everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Protocol

from forebay.journal.record import crc32c
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.journal.journal import SegmentInfo
    from forebay.model import Record

PASS_S = 7 * 86_400.0
"""How long one pass over everything takes."""
STEP_S = 60.0
STEP_BYTES_LEAST = 1 << 20
READ_BYTES = 1 << 20
"""Asked of the journal at a time."""
STATE_BYTES_MAX = 4096


class Scrubbed(Protocol):
    """What the scrub needs of the journal."""

    directory: Path

    def segments(self) -> tuple[SegmentInfo, ...]:
        """See `Journal.segments`."""
        ...

    async def read(self, after: Position, max_bytes: int) -> list[Record]:
        """See `Journal.read`."""
        ...


class Scrub:
    """One journal's scrub. The place is a hint in `scrub.json`: losing it costs a repetition."""

    def __init__(self, journal: Scrubbed, seams: Seams) -> None:
        """Read through `journal`; nothing is touched before `run`."""
        self._journal, self._disk, self._clock = journal, seams.disk, seams.clock
        self._state = journal.directory / "scrub.json"
        self.place = Position(Stream.AUDIT, 0, 0)
        """The last position that was read."""
        self.passes = 0
        """Whole passes since the start of this process."""

    async def run(self) -> None:
        """Go on where the last run stopped, until cancelled. JournalError ends it."""
        self.place = await asyncio.to_thread(self.load)
        while True:
            await self._clock.sleep(STEP_S)
            await self.step()
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.save)

    async def step(self) -> int:
        """Read the share of one STEP_S; give how many payload bytes that was."""
        segments = self._journal.segments()
        budget = step_bytes(sum(segment.bytes for segment in segments))
        done = 0
        while done < budget:
            await asyncio.to_thread(self._forget, segments)
            records = await self._journal.read(self.place, min(READ_BYTES, budget - done))
            if records:
                done += sum(len(record.payload) for record in records)
                self.place = records[-1].position
            elif not self._next_stream():
                break
        return done

    def _next_stream(self) -> bool:
        """Go to the next stream; False after the last, where a pass ends."""
        streams = tuple(Stream)
        number = streams.index(self.place.stream) + 1
        self.place = Position(streams[number % len(streams)], 0, 0)
        if number == len(streams):
            self.passes += 1
            return False
        return True

    def _forget(self, segments: Sequence[SegmentInfo]) -> None:
        """Have the next sealed segment read from the medium: the page cache does not rot."""
        stream, epoch, seq = self.place
        for segment in segments:
            begins_here = (segment.epoch, segment.first_seq) > (epoch, seq)
            if segment.stream is stream and segment.sealed and begins_here:
                with contextlib.suppress(OSError):  # retention was faster
                    self._disk.drop_cache(self._journal.directory / stream.value / segment.file)
                return

    def load(self) -> Position:
        """Give where the last run stopped, the beginning where nobody knows. Blocks."""
        try:
            found = decode(self._disk.read_bytes(self._state, STATE_BYTES_MAX))
        except OSError:
            found = None
        return found or Position(Stream.AUDIT, 0, 0)

    def save(self) -> None:
        """Keep the place. Blocks; OSError if the disk refuses."""
        self._disk.write_atomic(self._state, encode(self.place))


def encode(place: Position) -> bytes:
    """Give the file that keeps a place."""
    stream, epoch, seq = place
    state = {"stream": stream.value, "epoch": f"{epoch:016x}", "seq": seq}
    return json.dumps({**state, "crc32c": f"{crc32c(json.dumps(state).encode()):08x}"}).encode()


def decode(data: bytes) -> Position | None:
    """Give the place that a file keeps, None unless every bit of it is as `encode` made it."""
    try:
        state = json.loads(data)
        place = Position(Stream(state["stream"]), int(state["epoch"], 16), int(state["seq"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return place if encode(place) == data else None


def step_bytes(total_bytes: int) -> int:
    """Give what one step reads, so that `total_bytes` take PASS_S; little is read faster."""
    return max(STEP_BYTES_LEAST, int(total_bytes * STEP_S / PASS_S))
