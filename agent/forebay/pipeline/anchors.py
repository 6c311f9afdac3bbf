"""What is known of the wall clock, and when the journal must be told.

Owns the states of the clock and the rule for anchors. Must not know how records are made.

    UNSYNCED ──kernel: synced──▶ SYNCED ──kernel: not synced──▶ HOLDOVER ──synced──▶ SYNCED
        ▲                          │                               │
        └── set while not synced ──┴────── set, or too far off ────┘

The kernel lets wall clock and boot time run faster or slower together, so that their difference
(`Reading.offset_ns`) changes only when the wall clock is set. It is compared with the difference at
the last anchor: a step shows at once, and many that are too small to show add up until they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.events import CLOCK_STATE, CLOCK_STEPPED
from forebay.model import Anchor, ClockState

if TYPE_CHECKING:
    from forebay.clock import Reading
    from forebay.interfaces import Seams

STEP_NS = 10_000_000
"""A smaller change of the offset is no step.

Two clocks read as one part by 0.03 ms at most (200,000 readings on a busy machine); what sets a
clock steps by 128 ms and more (ntpd), 400 ms (systemd-timesyncd) or 1 s (chrony), and slews less.
"""
DRIFT_PPM = 500
"""How fast an undisciplined clock may go wrong: what the kernel itself assumes (MAXFREQ)."""
HOLDOVER_ERROR_MOST_NS = 600_000_000_000
"""A clock that may be ten minutes off, after about two weeks of holdover, counts as UNSYNCED."""


class Known(NamedTuple):
    """What is known of the wall clock since some look. `error_ns` is 0 where nobody can know."""

    state: ClockState
    offset_ns: int
    error_ns: int
    boottime_ns: int


def after(known: Known | None, reading: Reading) -> Known:
    """Give what is known after a look; `known` is what was known before, None at first.

    The offset stays that of the last step, so that small changes add up.
    """
    offset_ns, boottime_ns = reading.offset_ns, reading.boottime_ns
    stepped = known is None or abs(offset_ns - known.offset_ns) > STEP_NS
    if known is not None and not stepped:
        offset_ns = known.offset_ns
    if reading.synced:
        return Known(ClockState.SYNCED, offset_ns, reading.error_ns, boottime_ns)
    if known is None or stepped or known.state is ClockState.UNSYNCED:
        return Known(ClockState.UNSYNCED, offset_ns, 0, boottime_ns)
    drift_ns = (boottime_ns - known.boottime_ns) * DRIFT_PPM // 1_000_000
    error_ns = known.error_ns + drift_ns
    if error_ns > HOLDOVER_ERROR_MOST_NS:
        return Known(ClockState.UNSYNCED, offset_ns, 0, boottime_ns)
    return Known(ClockState.HOLDOVER, offset_ns, error_ns, boottime_ns)


class Step(NamedTuple):
    """A step of the wall clock: by how much, positive for ahead, and when (monotonic)."""

    by_s: float
    at_s: float


class Anchors:
    """Watches the wall clock of one run and makes its anchors."""

    def __init__(self, seams: Seams) -> None:
        """Look for the first time: `first` is the anchor that the run begins with."""
        self._clock, self._events = seams.clock, seams.events
        reading = self._clock.read()
        self._known = after(None, reading)
        self._since_s = self._clock.monotonic_s()
        self.steps: int = 0
        """Steps of the wall clock since the start."""
        self.last_step: Step | None = None
        self._stepped_ns = 0
        self.first = self._anchor(reading)

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

    def stepped(self) -> bool:
        """Whether the wall clock seems to have been set since the last look.

        Costs 0.2 us, for each batch: `look` then says whether it was.
        """
        clock = self._clock
        return abs(clock.now_ns() - clock.boottime_ns() - self._known.offset_ns) > STEP_NS

    def look(self) -> Anchor | None:
        """Look, tell of what changed, and give the anchor that is due, or None."""
        reading, was = self._clock.read(), self._known
        self._known = now = after(was, reading)
        self._stepped_ns = now.offset_ns - was.offset_ns
        if self._stepped_ns:
            by_s = self._stepped_ns / 1e9
            self.steps, self.last_step = self.steps + 1, Step(by_s, self._clock.monotonic_s())
            self._events.emit(
                CLOCK_STEPPED,
                by_s=round(by_s, 3),
                hint="times before and after are told apart by the journal's anchors",
            )
        if now.state is not was.state:
            self._since_s = self._clock.monotonic_s()
            self._events.emit(CLOCK_STATE, state=now.state.name, before=was.state.name)
        if self._stepped_ns or now.state is not was.state:
            return self._anchor(reading)
        return None

    def was_before(self, received_ns: int, anchor: Anchor) -> bool:
        """Whether values received a moment ago were stamped before the clock was as `anchor` says.

        `anchor` is that of the last look. They were if the clock as it was before explains their
        time better.
        """
        ago_ns = anchor.wall_ns - received_ns
        return abs(ago_ns - self._stepped_ns) < abs(ago_ns)

    def _anchor(self, reading: Reading) -> Anchor:
        return Anchor(
            self._clock.boot_id,
            reading.wall_ns,
            reading.boottime_ns,
            self._known.state,
            self._known.error_ns,
        )
