"""What is known of the wall clock, and when the journal must be told.

Owns the states of the clock and the rule for anchors. Must not know how records are made.

    UNSYNCED ──kernel: synced──▶ SYNCED ──kernel: not synced──▶ HOLDOVER ──synced──▶ SYNCED
        ▲                          │                               │
        └── set while not synced ──┴────── set, or too far off ────┘

The kernel lets wall clock and boot time run faster or slower together, so that their difference
(`Reading.offset_ns`) changes only when the wall clock is set. It is compared with the difference at
the last anchor: a step shows at once, and many that are too small to show add up until they do.

A row says by the same difference which clock stamped it (`Batch.boottime_ns`). So a row that waited
in a queue while the clock was set, once or more often, is told from those that were stamped since,
whatever the order in which they come.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from forebay.clock import Stamp
from forebay.events import CLOCK_STATE, CLOCK_STEPPED
from forebay.model import Anchor, ClockState
from forebay.pipeline.split import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.clock import Reading
    from forebay.interfaces import Seams
    from forebay.model import Batch

STEP_NS = 10_000_000
"""A smaller change of the offset is no step.

Two clocks read as one part by 0.03 ms at most (200,000 readings on a busy machine); what sets a
clock steps by 128 ms and more (ntpd), 400 ms (systemd-timesyncd) or 1 s (chrony), and slews less.
"""
DRIFT_PPM = 500
"""How fast an undisciplined clock may go wrong: what the kernel itself assumes (MAXFREQ)."""
HOLDOVER_ERROR_MOST_NS = 600_000_000_000
"""A clock that may be ten minutes off, after about two weeks of holdover, counts as UNSYNCED."""

RECENT_NS = 60_000_000_000
"""How long after a step (boot time) a row without a boot time may be of the clock before it."""
_REMEMBERED = 8
_NOTHING = ClockState.UNSYNCED, 0


class _Clock(Protocol):
    """A wall clock, as its difference to the time since boot tells it from others."""

    @property
    def offset_ns(self) -> int: ...


class Known(NamedTuple):
    """What is known of the wall clock since some look. `error_ns` is 0 where nobody can know."""

    state: ClockState
    offset_ns: int
    error_ns: int
    boottime_ns: int


def after(known: Known | None, reading: Reading) -> Known:
    """Give what is known after a look; `known` is what was known before, None at first.

    The offset stays that of the last anchor, so that small changes add up.
    """
    state, error_ns = _state_after(known, reading)
    offset_ns = reading.offset_ns
    if known is not None and state is known.state and _alike(known, reading):
        offset_ns = known.offset_ns
    return Known(state, offset_ns, error_ns, reading.boottime_ns)


def _state_after(known: Known | None, reading: Reading) -> tuple[ClockState, int]:
    if reading.synced:
        return ClockState.SYNCED, reading.error_ns
    if known is None or known.state is ClockState.UNSYNCED or not _alike(known, reading):
        return _NOTHING
    drift_ns = (reading.boottime_ns - known.boottime_ns) * DRIFT_PPM // 1_000_000
    error_ns = known.error_ns + drift_ns
    return _NOTHING if error_ns > HOLDOVER_ERROR_MOST_NS else (ClockState.HOLDOVER, error_ns)


class Step(NamedTuple):
    """A step of the wall clock: by how much, positive for ahead, and when (monotonic)."""

    by_s: float
    at_s: float


class _Past(NamedTuple):
    """What was known of a clock, and when (boot time) it was found to have been set."""

    known: Known
    until_ns: int


def _alike(one: _Clock, other: _Clock) -> bool:
    return abs(one.offset_ns - other.offset_ns) <= STEP_NS


class Anchors:
    """Watches the wall clock of one run and makes its anchors.

    Every anchor that it gives is put into the stream there and then: what is accepted next was
    stamped by the clock that the last one describes.
    """

    def __init__(self, seams: Seams) -> None:
        """Look for the first time: `first` is the anchor that the run begins with."""
        self._clock, self._events = seams.clock, seams.events
        reading = self._clock.read()
        self._known = after(None, reading)
        self._before: deque[_Past] = deque(maxlen=_REMEMBERED)
        self._since_s = self._clock.monotonic_s()
        self.steps: int = 0
        """Steps of the wall clock since the start."""
        self.last_step: Step | None = None
        self.first = self._anchor(reading)
        self._put_ns = self.first.offset_ns

    @property
    def state(self) -> ClockState:
        """What is known of the wall clock."""
        return self._known.state

    @property
    def state_s(self) -> float:
        """For how long `state` has been so."""
        return self._clock.monotonic_s() - self._since_s

    @property
    def error_s(self) -> float:
        """The most that the wall clock may be off, as far as anybody knows; 0 if nobody does."""
        return self._known.error_ns / 1e9

    def look(self) -> Anchor | None:
        """Look, tell of what changed, and give the anchor that is due, or None."""
        present, due = self._look()
        return self._put(present) if due or self._parted(present.offset_ns) else None

    def explains(self, batch: Batch) -> bool:
        """Whether the last anchor describes the clock that stamped each row; asked of each batch.

        Rows without a boot time are taken for stamped just now, unless a step is recent.
        """
        boottime_ns, received_ns = batch.boottime_ns, batch.received_ns
        if boottime_ns is None:
            now_ns = self._clock.boottime_ns()
            recent = self._before and now_ns - self._before[-1].until_ns < RECENT_NS
            return not recent and not self._parted(self._clock.now_ns() - now_ns)
        if len(received_ns) == 1:
            return not self._parted(received_ns.item() - boottime_ns.item())
        return not np.count_nonzero(np.abs(received_ns - boottime_ns - self._put_ns) > STEP_NS)

    def told_apart(self, batch: Batch) -> Iterator[tuple[Anchor | None, Batch | None]]:
        """Give the rows by the clocks that stamped them, each with the anchor to be put before it.

        None where there is no need of an anchor; in the end an anchor without rows, if one is due.
        """
        present, due = self._look()
        stamps = self._stamps(batch)
        first = 0
        while first < batch.rows:
            anchor = None
            if self._parted(stamps[first].offset_ns):
                anchor = present if _alike(stamps[first], present) else self._of(stamps[first])
                self._put(anchor)
                due = due and anchor is not present
            end = first + 1
            while end < batch.rows and not self._parted(stamps[end].offset_ns):
                end += 1
            yield anchor, cut(batch, first, end)
            first = end
        if due:
            yield self._put(present), None

    def _look(self) -> tuple[Anchor, bool]:
        """Look, tell of what changed, and give the present clock's anchor and whether it is due."""
        reading, was = self._clock.read(), self._known
        self._known = now = after(was, reading)
        by_ns = now.offset_ns - was.offset_ns
        stepped = abs(by_ns) > STEP_NS
        if stepped:
            self._before.append(_Past(was, reading.boottime_ns))
            self.steps += 1
            self.last_step = Step(by_ns / 1e9, self._clock.monotonic_s())
            self._events.emit(
                CLOCK_STEPPED,
                by_s=round(by_ns / 1e9, 3),
                hint="times before and after are told apart by the journal's anchors",
            )
        if now.state is not was.state:
            self._since_s = self._clock.monotonic_s()
            self._events.emit(CLOCK_STATE, state=now.state.name, before=was.state.name)
        return self._anchor(reading), stepped or now.state is not was.state

    def _stamps(self, batch: Batch) -> list[Stamp]:
        """Give each row's time of receipt by both clocks.

        A row without a boot time is given that of the clock, among the present one and those that
        were replaced lately, by which it was received the least while ago.
        """
        if batch.boottime_ns is not None:
            pairs = zip(batch.received_ns.tolist(), batch.boottime_ns.tolist(), strict=True)
            return [Stamp(*pair) for pair in pairs]
        now_ns = self._clock.boottime_ns()
        lately = [past.known for past in self._before if now_ns - past.until_ns < RECENT_NS]
        clocks = [self._known, *reversed(lately)]
        stamps = []
        for received_ns in batch.received_ns.tolist():
            ages = [abs(now_ns + known.offset_ns - received_ns) for known in clocks]
            known = clocks[ages.index(min(ages))]
            stamps.append(Stamp(known.offset_ns + known.boottime_ns, known.boottime_ns))
        return stamps

    def _of(self, stamped: Stamp) -> Anchor:
        """Give the anchor of a clock that is no more, as it was when it stamped a row.

        Of one that was set again before anybody looked nothing is known.
        """
        known = [k for k in (past.known for past in self._before) if _alike(stamped, k)]
        state, error_ns = (known[-1].state, known[-1].error_ns) if known else _NOTHING
        return Anchor(self._clock.boot_id, stamped.wall_ns, stamped.boottime_ns, state, error_ns)

    def _anchor(self, reading: Reading) -> Anchor:
        known = self._known
        return Anchor(
            self._clock.boot_id, reading.wall_ns, reading.boottime_ns, known.state, known.error_ns
        )

    def _put(self, anchor: Anchor) -> Anchor:
        self._put_ns = anchor.offset_ns
        return anchor

    def _parted(self, offset_ns: int) -> bool:
        """Whether a clock of this offset is another than the one that the last anchor describes."""
        return abs(offset_ns - self._put_ns) > STEP_NS
