"""One stream's way into the journal: what waits for room, and the account of what found none.

Owns the order in which a stream's entries are handed over. Must not know batches or the clock, nor
how a journal takes what it is given.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from forebay.errors import StreamFull
from forebay.events import DATA_LOST, RING_OVERFLOW
from forebay.journal.entry import gap_entry
from forebay.model import Gap, GapCause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.errors import JournalFull
    from forebay.events import Events
    from forebay.journal.entry import Entry
    from forebay.model import Stream

COMMIT_BYTES = 1 << 20
"""The most that is submitted at once, beyond a single entry: well below the least `memory`."""

_WHY: Mapping[GapCause, str] = MappingProxyType(
    {
        GapCause.RING_OVERFLOW: "see `forebay journal status`: the disk",
        GapCause.STREAM_FULL: "see `forebay uplinks`: a stream that drops nothing is full",
    }
)

_TOLD_ELSEWHERE = frozenset({GapCause.NOT_POLLED, GapCause.NOT_COMPUTED})
"""Gaps that only wait here with all others: who accounts for them tells of them."""


class Ready(NamedTuple):
    """An entry that waits for room before the journal, and what becomes of it if none comes.

    `cause` is that of the gap in its place; None for an anchor, which waits on.
    """

    entry: Entry
    source: str
    cause: GapCause | None


@dataclass(slots=True)
class _Lost:
    """What there was no room for, of one source and for one cause."""

    samples: int
    time_from_ns: int
    time_to_ns: int


class Run(NamedTuple):
    """Entries that go as one commit: the gaps that are due, and `ready` of what waits."""

    entries: list[Entry]
    samples: int
    ready: int


class Way:
    """What is accepted of one stream and not yet given to the journal."""

    def __init__(self, stream: Stream, events: Events) -> None:
        """Begin with nothing."""
        self.stream = stream
        self.begun = False
        """Whether anything of this stream came in this run: then it gets every anchor."""
        self.lost_samples = 0
        """Samples that became a Gap, because the journal had no room for long."""
        self._events = events
        self._ready: deque[Ready] = deque()
        self._lost: dict[tuple[str, GapCause], _Lost] = {}
        self._refused = GapCause.RING_OVERFLOW  # what the last refusal would make of samples

    @property
    def ready(self) -> bool:
        """Whether an entry waits."""
        return bool(self._ready)

    @property
    def owing(self) -> bool:
        """Whether a loss is still to be told."""
        return bool(self._lost)

    @property
    def full(self) -> bool:
        """Whether the stream, and not the memory before the disk, was full the last time."""
        return self._refused is GapCause.STREAM_FULL

    def samples(self) -> int:
        """Count what waits, losses that are still to be told included."""
        ready = sum(ready.entry.samples for ready in self._ready)
        return ready + sum(lost.samples for lost in self._lost.values())

    def put(self, ready: Ready) -> None:
        """Put an entry behind all others."""
        self._ready.append(ready)

    def next_run(self) -> Run | None:
        """Give what is to be submitted next: the gaps, or else a run of ready entries.

        While the stream is full they go together: a gap alone would be taken, again and again.
        None if nothing is to go.
        """
        run = self._next_entries() if self.full or not self._lost else []
        if not run and (self.full or not self._lost):
            return None
        gaps = [
            gap_entry(
                self.stream,
                Gap(cause, lost.time_from_ns, lost.time_to_ns, lost.samples, source),
            )
            for (source, cause), lost in self._lost.items()
        ]
        gone = sum(lost.samples for lost in self._lost.values())
        return Run([*gaps, *run], gone + sum(entry.samples for entry in run), len(run))

    def taken(self, run: Run) -> None:
        """Forget what the journal has taken."""
        gone = sum(lost.samples for lost in self._lost.values())
        for cause in {of for _, of in self._lost} - _TOLD_ELSEWHERE:
            self._events.emit(DATA_LOST, cause=cause.name, samples=gone)
        self._lost.clear()
        for _ in range(run.ready):
            self._ready.popleft()
        self._refused = GapCause.RING_OVERFLOW

    def refuse(self, refusal: JournalFull) -> None:
        """Note why the journal took nothing."""
        full = isinstance(refusal, StreamFull)
        self._refused = GapCause.STREAM_FULL if full else GapCause.RING_OVERFLOW

    def lose(self) -> None:
        """Turn what is ready into an account of it, one a source and cause.

        Of anchors the last stays: nothing is left between it and those before.
        """
        if not self._lost:
            self._events.emit(RING_OVERFLOW, hint=_WHY[self._refused])
        anchors = [ready for ready in self._ready if ready.cause is None]
        while self._ready:
            ready = self._ready.popleft()
            if ready.cause is not None:
                self._lose_one(ready.entry, ready.source, ready.cause)
        self._ready.extend(anchors[-1:])

    def lose_for_good(self) -> None:
        """Lose what is ready, and let the account of it go alone: nothing more will come."""
        self.lose()
        self._refused = GapCause.RING_OVERFLOW

    def _lose_one(self, entry: Entry, source: str, cause: GapCause) -> None:
        self.lost_samples += entry.samples
        begin, end = entry.time_min_ns, entry.time_max_ns
        key = (source, self._refused if cause is GapCause.RING_OVERFLOW else cause)
        lost = self._lost.setdefault(key, _Lost(0, begin, end))
        lost.samples += entry.samples
        lost.time_from_ns = min(lost.time_from_ns, begin)
        lost.time_to_ns = max(lost.time_to_ns, end)

    def _next_entries(self) -> list[Entry]:
        """Give ready entries that are one commit."""
        run: list[Entry] = []
        nbytes = 0
        for ready in self._ready:
            nbytes += len(ready.entry.payload)
            if run and nbytes > COMMIT_BYTES:
                break
            run.append(ready.entry)
        return run
