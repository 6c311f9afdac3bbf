"""How a group's tags become requests, and how refusals change that. Pure.

Owns merging and what is learned from a device's answers. Must not know protocols: a driver says
where tags lie (`Span`) and what one request may ask (`SpanLimits`).

*Unit*: the columns that share one span. Units are sorted by area, start and size; a block is a run
of neighbouring units, so a tag is never torn apart. A *wall* stands before a unit: no block may
reach across it.

What a refusal teaches. A refused block of several units gets a wall on trial: at the bridged hole
nearest to its middle, or in its middle if it bridges none. The parts are asked next, and so on,
until
- a unit stands alone and is refused: it is left out from then on, and asked alone again only now
  and then (`probe`); or
- all parts are good, and it was the reach across the wall that the device minds: the wall becomes
  firm.
Either explains every larger refusal around it, so the other walls on trial there fall and good
neighbours are merged again. Each search ends after about log2(units) scans and finds at least one
refused unit or firm wall.

A device may also answer only shorter requests than its limits say. That is what explains a refusal
whose parts are all good and of which no request as long was ever answered, if there is no hole in
the middle or if several refusals tell the same. Then no wall is built: the longest request that the
area takes lies between the two lengths, and each further scan halves what is between.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from forebay.acquisition.lengths import Answered
from forebay.interfaces import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from forebay.acquisition.lengths import Length
    from forebay.interfaces import Refusal, Span, SpanLimits

PROBE_EVERY = 60
"""Polls between two times that units refused before are asked again."""

MAX_PROBES = 32
"""Most refused units asked again in one plan, and most blocks cut in one refinement.

So no scan grows without bound.
"""


class Unit(NamedTuple):
    """Where some columns lie: `size` places from `start` in `area`."""

    area: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first place behind it."""
        return self.start + self.size


class Refused(NamedTuple):
    """What a unit refused alone is given: a bad StatusCode, for these columns."""

    status: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a device's refusals have taught about one group. Never changed, only replaced.

    `refused` is in the order in which the units were last asked. `trials` maps the unit behind a
    wall on trial to the units of the refused block that it divides. `due` are refused units that
    the next plan asks again. `lengths` are those of areas whose requests must be shorter.
    """

    refused: Mapping[Unit, Refused] = field(default_factory=dict)
    walls: frozenset[Unit] = frozenset()
    trials: Mapping[Unit, frozenset[Unit]] = field(default_factory=dict)
    due: frozenset[Unit] = frozenset()
    lengths: Mapping[str, Length] = field(default_factory=dict)

    @property
    def refused_columns(self) -> frozenset[int]:
        """The columns that the device does not give."""
        return frozenset(c for refused in self.refused.values() for c in refused.columns)


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests that cover every column once, but for those refused.

    `reasons[i]` says for people why `blocks[i]` begins where it does; `units[i]` are the units in
    it. `refused` are the columns that no block asks for, each with the status that it gets.
    """

    blocks: tuple[Block, ...]
    reasons: tuple[str, ...]
    units: tuple[tuple[Unit, ...], ...]
    refused: tuple[tuple[int, int], ...]


def plan(
    spans: Sequence[Span], limits: Callable[[str], SpanLimits], learned: Learned | None = None
) -> Plan:
    """Merge `spans`, one a column, into as few requests as `limits` and `learned` allow.

    Raises ValueError for a span that no request can hold: the driver's configuration check lets
    none through.
    """
    known = Learned() if learned is None else learned
    columns: dict[Unit, list[int]] = {}
    for column, span in enumerate(spans):
        columns.setdefault(Unit(span.area, span.start, span.count), []).append(column)
    asked = {unit: of for unit, of in columns.items() if unit not in known.refused}
    builder = _Builder(known, asked, {area: limits(area) for area in {u.area for u in columns}})
    for unit in sorted(asked):
        builder.add(unit)
    builder.finish()
    for unit in known.refused:
        if unit in known.due and unit in columns:
            builder.add_alone(unit, columns[unit])
    left_out = [
        (column, known.refused[unit].status)
        for unit, of in columns.items()
        if unit in known.refused and unit not in known.due
        for column in of
    ]
    return Plan(
        tuple(builder.blocks), tuple(builder.reasons), tuple(builder.units), tuple(left_out)
    )


def refine(done: Plan, refusals: Iterable[Refusal], learned: Learned) -> Learned:
    """Give what is known after a scan of `done`, the plan made with `learned`.

    That is `learned` itself if nothing is new.

    To be called after every scan, refused or not: that nothing was refused is what proves a wall.
    """
    answers = {refusal.block: refusal for refusal in refusals}
    searching = any(length.open for length in learned.lengths.values())
    if not (answers or learned.trials or learned.due or searching):
        return learned
    refused, answered = dict(learned.refused), Answered(learned.lengths)
    to_cut: list[tuple[Unit, ...]] = []
    unknown: set[Unit] = set()
    for number, units in enumerate(done.units):
        block, answer = done.blocks[number], answers.get(number)
        if answer is None:
            answered.good(block.area, block.count)
            if learned.due:
                refused = {u: r for u, r in refused.items() if u not in units}
        elif not answer.permanent:
            unknown.update(units)
        elif len(units) == 1:
            refused.pop(units[0], None)
            refused[units[0]] = Refused(answer.status, block.columns)
        else:
            answered.bad(block.area, block.count)
            to_cut.append(units)
            unknown.update(units)
    to_cut = [units for units in to_cut if not answered.too_long(units[0].area, _reach(units))]
    answered.narrow({u.area for u in learned.trials} | {units[0].area for units in to_cut})
    walls, trials = _settle(learned, refused.keys(), unknown, answered)
    for units in sorted(to_cut, key=len)[:MAX_PROBES]:
        trials[_where_to_cut(units)] = frozenset(units)
    new = Learned(refused, walls, trials, lengths=answered.lengths)
    return learned if new == learned else new


def probe(learned: Learned, most: int = MAX_PROBES) -> Learned:
    """Let the next plan ask again for the refused units that waited longest, at most `most`."""
    if not learned.refused:
        return learned
    return replace(learned, due=frozenset(list(learned.refused)[:most]))


class _Builder:
    """Grows blocks from units that come in order."""

    def __init__(
        self,
        learned: Learned,
        columns: Mapping[Unit, list[int]],
        limits: Mapping[str, SpanLimits],
    ) -> None:
        self.blocks: list[Block] = []
        self.reasons: list[str] = []
        self.units: list[tuple[Unit, ...]] = []
        self._learned = learned
        self._columns = columns
        self._limits = limits
        self._taboo = {
            area: _Ranges(u for u in learned.refused if u.area == area) for area in limits
        }
        self._open: list[Unit] = []
        self._end = 0

    def add(self, unit: Unit) -> None:
        """Put `unit` into the open block, or into a new one."""
        if unit.size > self._limits[unit.area].max_count:
            msg = f"{unit} is longer than a request may be ({self._limits[unit.area].max_count})"
            raise ValueError(msg)
        reason = self._why_apart(unit)
        if reason is not None:
            self.finish()
            self.reasons.append(reason)
        self._open.append(unit)
        self._end = max(self._end, unit.end)

    def add_alone(self, unit: Unit, columns: list[int]) -> None:
        """Give `unit` a block of its own."""
        self.blocks.append(Block(*unit, tuple(columns)))
        self.units.append((unit,))
        self.reasons.append("refused before, asked alone to see whether it is there now")

    def finish(self) -> None:
        """Close the open block."""
        if self._open:
            area, start, _ = self._open[0]
            columns = tuple(column for unit in self._open for column in self._columns[unit])
            self.blocks.append(Block(area, start, self._end - start, columns))
            self.units.append(tuple(self._open))
        self._open, self._end = [], 0

    def _why_apart(self, unit: Unit) -> str | None:
        """Say why `unit` cannot join the open block, None if it can."""
        if not self._open or unit.area != self._open[0].area:
            return f"first of {unit.area}"
        if unit in self._learned.walls:
            return "the device refuses a request that reaches across"
        if unit in self._learned.trials:
            return "parted to find what the device refused"
        return self._why_too_far(unit)

    def _why_too_far(self, unit: Unit) -> str | None:
        """Say which limit keeps `unit` out of the open block of its area, None if none does."""
        limits, hole = self._limits[unit.area], unit.start - self._end
        if hole > limits.max_hole:
            return f"behind a hole of {hole}, more than {limits.max_hole}"
        if hole > 0 and self._taboo[unit.area].touches(self._end, unit.start):
            return "behind a place that the device refuses"
        length = max(self._end, unit.end) - self._open[0].start
        if length > limits.max_count:
            return f"the block before is full ({limits.max_count})"
        known = self._learned.lengths.get(unit.area)
        if known is not None and length > known.most:
            return f"the device refuses longer requests than {known.most}"
        return None


class _Ranges:
    """Places of one area, as ranges that neither touch nor overlap."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for unit in sorted(units):
            if self._ends and unit.start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], unit.end)
            else:
                self._starts.append(unit.start)
                self._ends.append(unit.end)

    def touches(self, start: int, end: int) -> bool:
        """Whether one of them has a place in start..end (exclusive)."""
        following = bisect_right(self._ends, start)
        return following < len(self._starts) and self._starts[following] < end


def _where_to_cut(units: Sequence[Unit]) -> Unit:
    """Give the unit before which a refused block is cut.

    It is the one nearest to the middle, of those behind a bridged hole if there are any.
    """
    behind_holes, end = [], units[0].end
    for number, unit in enumerate(units):
        if unit.start > end:
            behind_holes.append(number)
        end = max(end, unit.end)
    middle = len(units) // 2
    return units[min(behind_holes or [middle], key=lambda number: abs(number - middle))]


def _reach(units: Collection[Unit]) -> int:
    """Give how long the request is that asks for `units`, all of one area."""
    return max(unit.end for unit in units) - min(unit.start for unit in units)


def _settle(
    learned: Learned, refused: Iterable[Unit], unknown: set[Unit], answered: Answered
) -> tuple[frozenset[Unit], dict[Unit, frozenset[Unit]]]:
    """Decide the trials whose every unit is now good or refused, innermost first.

    Gives the walls and the trials that remain; what is blamed on a length goes to `answered`.
    """
    firm, remaining, culprits = set(learned.walls), {}, set(refused)
    long: dict[Unit, frozenset[Unit]] = {}
    for wall, divided in sorted(learned.trials.items(), key=lambda item: len(item[1])):
        if not divided.isdisjoint(unknown):
            remaining[wall] = divided
        elif divided.isdisjoint(culprits) and divided.isdisjoint(firm - {min(divided)}):
            if _reach(divided) > answered.longest(wall.area):
                long[wall] = divided
            else:
                firm.add(wall)
    for area in {wall.area for wall in long}:
        mine = {wall: divided for wall, divided in long.items() if wall.area == area}
        if area not in answered.lengths and not _tell_of_length(mine):
            for wall, divided in mine.items():  # innermost first: it explains those around it
                if divided.isdisjoint(firm - {min(divided)}):
                    firm.add(wall)
            continue
        if area not in answered.lengths:
            firm = {wall for wall in firm if wall.area != area}  # they may have been lengths too
        answered.suspect(area, min(_reach(divided) for divided in mine.values()))
    return frozenset(firm), remaining


def _tell_of_length(trials: Mapping[Unit, frozenset[Unit]]) -> bool:
    """Whether the length explains refusals of one area better than holes where they were cut.

    It does where there is no hole, or where several refusals that share nothing tell the same.
    """
    apart: set[Unit] = set()
    count = 0
    for wall, divided in trials.items():
        if max(unit.end for unit in divided if unit < wall) >= wall.start:
            return True
        if apart.isdisjoint(divided):
            apart |= divided
            count += 1
    return count > 1
