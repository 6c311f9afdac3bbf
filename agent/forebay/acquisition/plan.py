"""How a group's tags become requests. Pure.

Owns merging, by what is known of the device. Must not know protocols: a driver says where tags lie
(`Span`) and what one request may ask (`SpanLimits`); nor how a device is got to know (`refine`).

*Unit*: the columns that share one span. Units are sorted by area, start and size; a block is a run
of neighbouring units, so a tag is never torn apart. A *wall* stands before a unit: no block may
reach across it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from forebay.interfaces import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from forebay.acquisition.lengths import Length
    from forebay.interfaces import Span, SpanLimits


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
