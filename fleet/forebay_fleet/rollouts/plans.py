"""How a rollout goes over its boxes: waves, failures, windows. Pure.

Must not know the registry, nor what boxes run.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import zoneinfo
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_STEPS = 20
MOST_WEEK_MINUTES = 8 * 24 * 60
MOST_SHUT_MINUTES = 16 * 24 * 60
"""A window of one day of the week may lie in the hour that clocks leave out: then it is shut for
two weeks."""
MINUTE_NS = 60 * 10**9
MOST_OPEN_NS = 30 * 86_400 * 10**9
"""How long a box may begin with what it was offered, where no window closes before."""


class State(StrEnum):
    """Of a rollout. STOPPED: too many boxes failed; a person resumes or aborts it."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self in {State.DONE, State.ABORTED}


class BoxState(StrEnum):
    """Of a box in a rollout.

    FAILED: it went back, or refused. LATE: it did not end within its time, perhaps off; it still
    may. LEFT: never offered, or not any more: the rollout ended, the box was revoked, or was told
    something else meanwhile. BACK: is told again what it was told before.
    """

    WAITING = "waiting"
    OFFERED = "offered"
    COMMITTED = "committed"
    FAILED = "failed"
    LATE = "late"
    LEFT = "left"
    BACK = "back"

    @property
    def over(self) -> bool:
        """Whether a wave does not wait for it."""
        return self not in {BoxState.WAITING, BoxState.OFFERED}


@dataclass(frozen=True, slots=True)
class Window:
    """When boxes may change: from `begins` to `ends`, minutes of a local day, on `days`.

    One that ends before it begins goes over midnight: its day is the one it begins on.
    """

    days: tuple[str, ...]
    begins: int
    ends: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sat,sun 22:00-05:00` or `22:00-05:00`. UsageError."""
        match = re.fullmatch(
            r"(?:([a-z,]+) )?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", text.strip()
        )
        days = tuple((match[1] or ",".join(DAYS)).split(",")) if match else ()
        if match is None or not set(days) <= set(DAYS):
            raise UsageError(
                f"{text!r} is no maintenance window",
                hint="write 22:00-05:00, or sat,sun 06:00-18:00",
            )
        begins, ends = (int(match[n]) * 60 + int(match[n + 1]) for n in (2, 4))
        if begins == ends or ends > 24 * 60:
            raise UsageError(f"{text!r} is empty", hint="a whole day is 00:00-24:00")
        return cls(days, begins, ends)

    def is_open(self, now_ns: int, zone: str) -> bool:
        """Whether a box whose clock on the wall is in `zone` may change now."""
        local = dt.datetime.fromtimestamp(now_ns / 1e9, _zone(zone))
        minute = local.hour * 60 + local.minute
        if self.begins < self.ends:
            return DAYS[local.weekday()] in self.days and self.begins <= minute < self.ends
        if minute >= self.begins:
            return DAYS[local.weekday()] in self.days
        return minute < self.ends and DAYS[local.weekday() - 1] in self.days

    def next_open_ns(self, now_ns: int, zone: str) -> int:
        """Give when it is open next, to the minute; now if it is."""
        if self.is_open(now_ns, zone):
            return now_ns
        start = now_ns - now_ns % MINUTE_NS
        for ahead in range(1, MOST_SHUT_MINUTES):
            if self.is_open(start + ahead * MINUTE_NS, zone):
                return start + ahead * MINUTE_NS
        raise AssertionError  # a window that is not empty is open once in two weeks

    def closes_ns(self, now_ns: int, zone: str) -> int:
        """Give when it is closed next, to the minute; MOST_OPEN_NS from now at the latest."""
        start = now_ns - now_ns % MINUTE_NS
        for ahead in range(1, MOST_WEEK_MINUTES):
            if not self.is_open(start + ahead * MINUTE_NS, zone):
                return start + ahead * MINUTE_NS
        return now_ns + MOST_OPEN_NS

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        first, last = (f"{one // 60:02}:{one % 60:02}" for one in (self.begins, self.ends))
        days = "" if len(self.days) == len(DAYS) else ",".join(self.days) + " "
        return f"{days}{first}-{last}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a rollout goes.

    First `canary` boxes, then so many more that each of `percents` of all have it, then all.
    Between waves it rests for `rest_s`. It stops when more than `failures` boxes have failed or are
    late. A box has `deadline_s` from its offer. `window`: see `Window`; "" for always, in the box's
    label `timezone`, or else `zone`.
    """

    canary: int = 1
    percents: tuple[int, ...] = (25, 100)
    failures: int = 0
    deadline_s: float = 3600.0
    rest_s: float = 0.0
    window: str = ""
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Check it. UsageError."""
        rising = all(a < b for a, b in zip(self.percents, self.percents[1:], strict=False))
        if not rising or not all(0 < one <= 100 for one in self.percents):
            raise UsageError("the steps are percentages that rise", hint="write 10,50,100")
        if len(self.percents) > MOST_STEPS:
            raise UsageError(f"more than {MOST_STEPS} steps", hint="write fewer")
        if self.canary < 0 or self.failures < 0 or self.rest_s < 0 or self.deadline_s < 1:
            raise UsageError("a number of the plan is too small", hint="see --help")
        if self.window:
            Window.parse(self.window)
        _zone(self.zone)

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what `dump` wrote."""
        found = json.loads(text)
        return cls(**{**found, "percents": tuple(found["percents"])})

    def dump(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    def waves(self, boxes: int) -> list[int]:
        """Give how many boxes each wave has; none is empty, and all have their turn."""
        ends = [min(self.canary, boxes)]
        ends += [math.ceil(boxes * percent / 100) for percent in self.percents]
        ends.append(boxes)
        sizes, before = [], 0
        for end in ends:
            if end > before:
                sizes.append(end - before)
                before = end
        return sizes

    def open_until_ns(self, now_ns: int, zone: str) -> int | None:
        """Give until when a box of a time zone may change, MOST_OPEN_NS from now at most.

        None: not now. An unknown zone is the plan's own.
        """
        if not self.window:
            return now_ns + MOST_OPEN_NS
        window = Window.parse(self.window)
        zone = zone if known_zone(zone) else self.zone
        return window.closes_ns(now_ns, zone) if window.is_open(now_ns, zone) else None


EXPIRED = "it has expired"
"""What an agent says of an offer that ended while it got ready."""


class Told(NamedTuple):
    """What a box said last of what it runs: hashes of configurations, and of its last attempt."""

    desired_offer: str
    running: bytes
    attempt_offer: str
    phase: str
    error: str


def judge(offer_id: str, hash_: bytes, told: Told) -> tuple[BoxState, str] | None:
    """Give what became of an offer, and why; None: it is not over.

    One that ended before the box could begin is offered again in time.
    """
    if told.attempt_offer == offer_id:
        if told.phase == "committed":
            return BoxState.COMMITTED, ""
        if told.phase == "failed" and told.error == EXPIRED:
            return None
        if told.phase in {"rolled_back", "failed"}:
            return BoxState.FAILED, told.error or told.phase
        return (BoxState.LEFT, "a newer offer came") if told.phase == "superseded" else None
    if told.desired_offer == offer_id and told.running == hash_:
        return BoxState.COMMITTED, "ran it already"
    return None


def next_step(plan: Plan, states: Mapping[str, int], rested: bool) -> tuple[State, str] | str:  # noqa: FBT001 - one fact
    """Give what a rollout does, by how many boxes of its waves so far are in which state.

    A state and why; or "offer" (there are boxes to offer it to), "wait", "next" (wave).
    """
    bad = states.get(BoxState.FAILED, 0) + states.get(BoxState.LATE, 0)
    if bad > plan.failures:
        return State.STOPPED, f"boxes that failed or were late: {bad}; {plan.failures} may"
    if states.get(BoxState.WAITING, 0):
        return "offer"
    if states.get(BoxState.OFFERED, 0):
        return "wait"
    return "next" if rested else "wait"


def known_zone(name: str) -> bool:
    """Whether there is such a time zone."""
    try:
        _zone(name)
    except UsageError:
        return False
    return True


def order(boxes: Iterable[str], canaries: Sequence[str]) -> list[str]:
    """Give the boxes in the order of their turns: `canaries` first, the others by name."""
    first = [name for name in canaries if name in set(boxes)]
    return first + sorted(set(boxes) - set(first))


def _zone(name: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"no time zone {name!r}", hint="as in Europe/Berlin, or UTC") from error
