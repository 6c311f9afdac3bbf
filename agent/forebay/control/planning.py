"""How a device is asked: its requests and why they are as they are, what they take, what it taught.

Owns the account and its shapes, which mirror proto/forebay/v1/control.proto. Must not know how a
plan is made, nor change anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.acquisition.refine import PROBE_EVERY
from forebay.interfaces import MeasuredDriver
from forebay.model import quality_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from forebay.acquisition.plan import Learned, Plan, Unit
    from forebay.acquisition.planned import PlannedGroup as Planned
    from forebay.acquisition.session import Session
    from forebay.interfaces import Cost

    CostOf = Callable[[str], Cost | None]

REQUESTS_MOST = 20_000
"""Most requests that one answer names; the figures of the groups count all."""
REFUSED_MOST = 20_000
"""Most refused tags that one answer names."""
LEARNED_MOST = 200
"""Most lines of one group on what was learned."""
UNKNOWN = -1.0
"""Stands for a figure that nothing was measured for yet."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request for `count` places of an area, of which `unneeded` feed no tag.

    `reason` says why it begins where it does; `predicted_ms` is its time on the line.
    """

    group: str
    area: str
    start: int
    count: int
    tags: int
    unneeded: int
    reason: str
    predicted_ms: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """One group: so many requests each `period_s`, and which share of the line's time they take."""

    group: str
    period_s: float
    requests: int
    load: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class RefusedTag:
    """A tag that the device does not give, and the quality that it has instead of a value."""

    group: str
    tag: str
    address: str
    quality_name: str


@dataclass(frozen=True, slots=True)
class PlanReply:
    """A device's plan. `line_load` is measured, of all devices on `line`; `learned` is for people.

    No requests stand for a device that was never connected, or whose driver plans by itself.
    """

    device: str
    line: str
    requests: tuple[PlannedRequest, ...] = ()
    groups: tuple[PlannedGroup, ...] = ()
    refused: tuple[RefusedTag, ...] = ()
    line_load: float = UNKNOWN
    learned: tuple[str, ...] = ()


def explain(session: Session) -> PlanReply:
    """Give the plan by which `session` asks its device now."""
    driver = session.driver
    cost_of: CostOf = driver.cost if isinstance(driver, MeasuredDriver) else lambda _: None
    groups = session.spec.settings.groups
    requests: list[PlannedRequest] = []
    totals: list[PlannedGroup] = []
    refused: list[RefusedTag] = []
    learned: list[str] = []
    for planned in session.planned:
        if planned.plan is None:
            continue
        name, period_s = planned.schema.group, groups[planned.schema.group].period
        mine = list(_requests(name, planned.plan, cost_of))
        requests += mine
        totals.append(PlannedGroup(name, period_s, len(mine), _load(mine, period_s)))
        refused += _refused(planned)
        learned += [f"{name}: {line}" for line in _learned(planned.learned)][:LEARNED_MOST]
    return PlanReply(
        device=session.name,
        line=session.line.name,
        requests=tuple(requests[:REQUESTS_MOST]),
        groups=tuple(totals),
        refused=tuple(refused[:REFUSED_MOST]),
        line_load=session.line.load(),
        learned=tuple(learned),
    )


def _requests(group: str, plan: Plan, cost_of: CostOf) -> Iterator[PlannedRequest]:
    for block, reason, units in zip(plan.blocks, plan.reasons, plan.units, strict=True):
        cost = cost_of(block.area)
        yield PlannedRequest(
            group=group,
            area=block.area,
            start=block.start,
            count=block.count,
            tags=len(block.columns),
            unneeded=block.count - _covered(units),
            reason=reason,
            predicted_ms=UNKNOWN if cost is None else cost.of(block.count) * 1e3,
        )


def _covered(units: Sequence[Unit]) -> int:
    """Count the places that units, in the order of their starts, have together."""
    covered, end = 0, units[0].start
    for unit in units:
        covered += max(0, unit.end - max(end, unit.start))
        end = max(end, unit.end)
    return covered


def _load(requests: Sequence[PlannedRequest], period_s: float) -> float:
    if any(request.predicted_ms < 0 for request in requests):
        return UNKNOWN
    return sum(request.predicted_ms for request in requests) / 1e3 / period_s


def _refused(planned: Planned) -> Iterator[RefusedTag]:
    tags = planned.schema.tags
    for refused in planned.learned.refused.values():
        for column in refused.columns:
            tag = tags[column]
            status = quality_name(refused.status)
            yield RefusedTag(planned.schema.group, tag.name, tag.address, status)


def _learned(learned: Learned) -> Iterator[str]:
    """Say in sentences what the device has taught."""
    count = len(learned.refused_columns)
    if count:
        tags = "1 tag is" if count == 1 else f"{count} tags are"
        yield f"{tags} refused, and asked alone again every {PROBE_EVERY} polls"
    for area, length in sorted(learned.lengths.items()):
        found = f"requests of {length.refused} and more in {area} are refused"
        still = f", of up to {length.good} are not; between them it is still tried"
        yield found + (still if length.open else "")
    for wall in sorted(learned.walls):
        yield f"no request may reach across the beginning of {wall.area}:{wall.start}"
    for wall, units in sorted(learned.trials.items()):
        first, last = min(units).start, max(unit.end for unit in units) - 1
        yield f"what is refused in {wall.area}:{first} to {last} is still searched for"
