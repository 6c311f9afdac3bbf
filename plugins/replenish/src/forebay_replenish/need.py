"""Follows one container: its level, its refills, and the call for a transport. Pure.

Owns the life of a call. Moments in, news out; how the data were cut into windows changes nothing.

    quiet ──need──▶ called ──accepted──▶ accepted ──arrived──▶ arrived ──refilled──▶ quiet
                       │ └─no answer: called again └─not there in time: called again
                       └─cancelled──▶ cancelled ──refilled──▶ quiet
    arrived or cancelled, and not refilled in the time of an arrival ──▶ quiet: it may be needed
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay_replenish.forecast import Forecast, forecast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_replenish.settings import Plan

NS = 1_000_000_000
CALL_POINTS = 16
"""From fewer points the interval is so wide that a full container would be called for."""
RISE_SAMPLES = 4
"""A refill may take so many samples."""
QUIET, CALLED, ACCEPTED, CANCELLED, ARRIVED = "quiet", "called", "accepted", "cancelled", "arrived"


@dataclass
class Known:
    """All that is known.

    Attributes:
        points: (time, median level) of each `sample` since the last refill.
        bin: good levels of the sample that is being gathered, from `bin_ns` on.
        level: the last good level, `level_ns` its time; 0 if there was none.
        blind: it was told that nothing is known.
        filling: a refill was told, and the level goes on rising.
        state: of the call; `since_ns` when it began, `calls` how often this need was called.
        number: of the call, counted over the life of the container.
        truths: tag of an answer -> whether it held when it was last known.
    """

    last_ns: int = 0
    points: list[tuple[int, float]] = field(default_factory=list)
    bin: list[float] = field(default_factory=list)
    bin_ns: int = 0
    level: float = 0.0
    level_ns: int = 0
    blind: bool = False
    filling: bool = False
    state: str = QUIET
    since_ns: int = 0
    calls: int = 0
    number: int = 0
    truths: dict[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Known:
        """Undo `to_json`; nothing in it is what nothing known is."""
        made = cls(**given)
        made.points = [(at, level) for at, level in made.points]
        return made


@dataclass(frozen=True)
class News:
    """One thing to tell. `kind`: call, again, accepted, arrived, cancelled, lost, refill, blind."""

    at_ns: int
    kind: str
    text: str
    number: int


@dataclass
class Container:
    """Call `moment` in order of time, then `advance`; `news` gathers what is new."""

    plan: Plan
    known: Known
    news: list[News] = field(default_factory=list)
    forecasts: list[tuple[int, Forecast]] = field(default_factory=list)

    def moment(self, at_ns: int, level: float | None, answers: Mapping[str, float | None]) -> None:
        """Take in one moment: the level (None: none, or it is bad), and what answers say."""
        self.advance(at_ns)
        self.known.last_ns = at_ns
        rising = self._rising(answers)
        if level is not None:
            self._level(at_ns, level)
        self._answered(at_ns, rising)

    def advance(self, end_ns: int) -> None:
        """There is nothing more before `end_ns`: what is due before it is due."""
        while (due := self._due()) is not None and due[0] < end_ns:
            at_ns, what = due
            if what == "sample":
                self._sampled(at_ns)
            elif what == "blind":
                self.known.blind = True
                self.known.points = self.known.points[-1:]
                self._tell(at_ns, "blind", "there is no good level: nothing is forecast or called")
            elif what == "lost":
                self._tell(at_ns, "lost", "it was not refilled: a transport is called if needed")
                self._to(QUIET, at_ns)
                self.known.calls = 0
            else:
                self._call(at_ns, "again", what)

    def _due(self) -> tuple[int, str] | None:
        known, plan = self.known, self.plan
        due = []
        if known.bin:
            due.append((known.bin_ns + plan.sample_ns, "sample"))
        if known.level_ns and not known.blind:
            due.append((known.level_ns + plan.stale_ns, "blind"))
        if not known.blind and known.state != QUIET:
            wait_ns, what = plan.arrival_ns, "it did not arrive"
            if known.state == CALLED and plan.accepted:
                wait_ns, what = plan.answer_ns, "nobody accepted it"
            elif known.state in (ARRIVED, CANCELLED):
                what = "lost"
            if wait_ns and (what == "lost" or known.calls < plan.calls):
                due.append((known.since_ns + wait_ns, what))
        return min(due, default=None)

    def _rising(self, answers: Mapping[str, float | None]) -> set[str]:
        rising = set()
        for tag, value in answers.items():
            if value is not None:
                if value != 0 and self.known.truths.get(tag) is False:
                    rising.add(tag)
                self.known.truths[tag] = value != 0
        return rising

    def _level(self, at_ns: int, level: float) -> None:
        known, plan = self.known, self.plan
        if known.blind:
            known.blind = False
            known.since_ns = at_ns  # what was to come may have come meanwhile: it gets its time
        if not known.bin:
            known.bin_ns = at_ns - at_ns % plan.sample_ns
        known.bin.append(level)
        known.level, known.level_ns = level, at_ns

    def _sampled(self, at_ns: int) -> None:
        """One sample is whole: its median counts, so that a spike or a shake is none."""
        known, plan = self.known, self.plan
        held = sorted(known.bin)
        middle = held[len(held) // 2]
        known.bin = []
        before = min((level for _, level in known.points[-RISE_SAMPLES:]), default=middle)
        if known.filling and known.points and middle > known.points[-1][1]:
            known.points = []
        elif middle - before >= plan.refill:
            self._refilled(at_ns, before, middle)
        else:
            known.filling = False
        known.points.append((at_ns, middle))
        known.points = [one for one in known.points if one[0] > at_ns - plan.memory_ns]
        expected = forecast(known.points, plan.empty)
        if expected is not None:
            self.forecasts.append((at_ns, expected))
        self._judge(at_ns, middle, expected)

    def _refilled(self, at_ns: int, before: float, level: float) -> None:
        known = self.known
        known.points, known.filling = [], True
        self._tell(at_ns, "refill", f"refilled from {before:.4g} to {level:.4g}")
        if known.state != QUIET:
            self._to(QUIET, at_ns)
            known.calls = 0

    def _judge(self, at_ns: int, level: float, expected: Forecast | None) -> None:
        """Call once for a need; a transport that is under way, or was cancelled, is not called."""
        known, plan = self.known, self.plan
        if known.state != QUIET:
            return
        low = plan.least is not None and level <= plan.least
        hand_s = (plan.lead_ns + plan.safety_ns) / NS
        soon = (
            expected is not None
            and len(known.points) >= CALL_POINTS
            and expected.soonest_s <= hand_s
            and expected.empty_s <= 2 * hand_s
        )
        if low or soon:
            why = f"the level is {level:.4g}"
            if expected is not None and expected.empty_s != float("inf"):
                why += f", empty in {expected.empty_s / 60:.1f} min"
            self._call(at_ns, "call", why)

    def _call(self, at_ns: int, kind: str, why: str) -> None:
        known = self.known
        known.number += 1
        known.calls += 1
        self._to(CALLED, at_ns)
        last = known.calls == self.plan.calls and kind == "again"
        more = "; this was the last call, look after it" if last else ""
        self._tell(at_ns, kind, f"transport {known.number} called: {why}{more}")

    def _answered(self, at_ns: int, rising: set[str]) -> None:
        known, plan = self.known, self.plan
        if plan.accepted in rising and known.state == CALLED:
            self._to(ACCEPTED, at_ns)
            self._tell(at_ns, "accepted", f"transport {known.number} is on its way")
        if plan.cancelled in rising and known.state in (CALLED, ACCEPTED):
            self._to(CANCELLED, at_ns)
            self._tell(at_ns, "cancelled", f"transport {known.number} was cancelled")
        if plan.arrived in rising and known.state in (CALLED, ACCEPTED):
            self._to(ARRIVED, at_ns)
            self._tell(at_ns, "arrived", f"transport {known.number} has arrived")

    def _to(self, state: str, at_ns: int) -> None:
        self.known.state, self.known.since_ns = state, at_ns

    def _tell(self, at_ns: int, kind: str, text: str) -> None:
        self.news.append(News(at_ns, kind, text, self.known.number))
