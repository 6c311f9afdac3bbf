"""Windows over axes: which rows are looked at at once, and when all of them are there.

Owns the rule. Pure, and deterministic in the records alone: the same records in the same order give
the same windows, however they are handed over. Must not know the journal or plugins.

A window of rows holds `rows` rows of the leading axis, that of the first input, and of every other
axis what lies in the same time. A window of time holds what lies in it on every axis. It closes
when each input has passed its end, or when a record begins that far behind it: by `grace`. What
comes later than that is in no window any more, and is counted.

A time ahead of the moment at which the gateway had the row passes nothing, so that one device with
a wrong clock does not close the windows of all others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay.pluginhost.axis import Axis
from forebay.pluginhost.rows import blank, greatest
from forebay.pluginhost.seams import Cut, Series, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from forebay.pluginhost.rows import Block, Key
    from forebay.pluginhost.rule import Rule
    from forebay.pluginhost.seams import Input

AHEAD_MOST_NS = 3_600_000_000_000
"""A row that is further ahead of its own arrival is in no window of time, and is counted."""
NEVER = -(1 << 62)
"""Before all times."""


class Through(NamedTuple):
    """How far windows are done: the next one's number, its first leading row, or its time.

    `turn` counts windows of time in steps of `every_ns` since 1970; None before the first row.
    """

    number: int = 0
    row: int = 0
    turn: int | None = None


class Moment(NamedTuple):
    """What must be known to go on behind some records: `through`, and how far axes had passed.

    `top_ns` is the latest time with which a record began.
    """

    through: Through
    passed: Mapping[Key, int]
    top_ns: int = NEVER


class Taken(NamedTuple):
    """The mark of a work: the windows it is of, and what follows its last.

    `received_ns` of shape (windows,) is when the gateway had the last of a window's rows. `run` are
    its windows, of which `split` gives each its own.
    """

    of: Windows
    after: Through
    received_ns: NDArray[np.int64]
    run: _Run


class Unfinished(NamedTuple):
    """Rows that are in no complete window: from when to when, and the records that hold them."""

    begin_ns: int
    end_ns: int
    records: tuple[Hashable, ...]


class _Run(NamedTuple):
    """Windows that are complete and follow each other, as columns of shape (windows,).

    `at` is each one's first leading row, if they count rows; else its turn.
    """

    number: int
    begin_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    at: NDArray[np.int64]

    def cut(self, begin: int, end: int) -> _Run:
        """Give those from `begin` up to `end`."""
        some = slice(begin, end)
        number = self.number + begin
        return _Run(number, self.begin_ns[some], self.end_ns[some], self.at[some])


class _Part(NamedTuple):
    """One record's rows on one axis, where they begin in time, and how far they passed."""

    key: Key
    begin: int
    end: int
    low: int
    reach: int


class Windows:
    """The windows of one plugin. `add` records in order, `take` the windows that are complete."""

    def __init__(
        self,
        rule: Rule,
        inputs: Sequence[Input],
        members: Callable[[Key], Sequence[int]],
        begin: Moment | None = None,
    ) -> None:
        """Begin with no rows, behind the records that `begin` was reckoned for.

        `members` gives the inputs that an axis holds.
        """
        self._rule, self._inputs, self._members = rule, inputs, members
        self._axes: dict[Key, Axis] = {}
        self._leader: Key | None = None
        self._others = np.arange(len(inputs))
        self._records: deque[tuple[Hashable, tuple[_Part, ...]]] = deque()
        self._closed: deque[_Run] = deque()
        begin = begin or Moment(Through(), {})
        self._next = begin.through
        self._passed = np.full(len(inputs), NEVER, np.int64)
        self._before: dict[Key, int] = dict(begin.passed)
        self._top = self._before_top = begin.top_ns
        for key, reach in begin.passed.items():
            self._pass(members(key), reach)
        turn = self._first_turn = begin.through.turn
        self._told_ns = NEVER if turn is None else turn * rule.every_ns
        self.counts = {"late": 0, "ahead": 0}
        """Samples that came too late for a window, or that are ahead of their own arrival."""

    @property
    def ready(self) -> int:
        """How many windows are complete and not taken."""
        return sum(len(run.at) for run in self._closed)

    @property
    def records(self) -> int:
        """How many records are not forgotten."""
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """What the held rows take, about."""
        return sum(axis.nbytes for axis in self._axes.values())

    def together(self, key: Key) -> bool | None:
        """Whether the tags of a group share an axis; None if it has none yet."""
        if key in self._axes:
            return True
        return False if any(known[:3] == key[:3] for known in self._axes) else None

    def add(self, blocks: Iterable[Block], name: Hashable = None, *, again: bool = False) -> None:
        """Take the rows of the next record, which `name` names.

        `again` says that it was read before a restart: what is late in it was counted then.
        """
        taken = list(blocks)
        if self._rule.every_ns and self._next.turn is None and taken:
            first = min(int(_sound(block).min()) for block in taken)
            turn = first // self._rule.every_ns
            self._next, self._told_ns = self._next._replace(turn=turn), turn * self._rule.every_ns
            self._first_turn = turn
        parts: list[_Part] = []
        for block in taken:
            axis = self._axis(block.key)
            begin = axis.end
            axis.append(self._in_time(block, again=again))
            sound = _sound(block)
            low, reach = int(sound.min()), int(sound.max())
            parts.append(_Part(block.key, begin, axis.end, low, reach))
            self._pass(axis.inputs, reach)
            self._top = max(self._top, low)
        self._records.append((name, tuple(parts)))
        if parts and self._rule.every_ns:
            self._close_spans()
        elif parts:
            self._close_rows()

    def take(self, most: int) -> Work | None:
        """Give up to `most` complete windows as one work, whose mark is a Taken; None for none."""
        runs: list[_Run] = []
        while most and self._closed:
            run = self._closed.popleft()
            runs.append(run.cut(0, most))
            if len(run.at) > most:
                self._closed.appendleft(run.cut(most, len(run.at)))
            most -= len(runs[-1].at)
        return self._work(_joined(runs)) if runs else None

    def pending(self) -> Iterator[Hashable]:
        """Give the records that are not forgotten, in order."""
        return (name for name, _ in self._records)

    def unfinished(self) -> Unfinished | None:
        """Give what a window to come would hold first; None if there is nothing."""
        fresh = {key: self._fresh(key, axis) for key, axis in self._axes.items()}
        held = [axis.times(fresh[key], axis.end) for key, axis in self._axes.items()]
        held = [times for times in held if len(times)]
        if not held:
            return None
        names = tuple(
            name for name, parts in self._records if any(p.end > fresh[p.key] for p in parts)
        )
        begin_ns = min(int(times.min()) for times in held)
        return Unfinished(begin_ns, max(int(times.max()) for times in held) + 1, names)

    def _fresh(self, key: Key, axis: Axis) -> int:
        """Give the first row of an axis that is in no complete window, but may be in the next."""
        if key != self._leader or self._rule.every_ns:
            return axis.since(self._told_ns)
        seen = max(0, self._rule.rows - self._rule.stride) if self._told_ns != NEVER else 0
        return min(axis.end, max(axis.first, self._next.row + seen))

    @property
    def through(self) -> Through:
        """What follows the last window that is complete."""
        return self._next

    def pass_over(self, number: int) -> None:
        """Leave out the complete windows up to that of `number`: they are worked on already."""
        while self._closed and self._closed[0].number <= number:
            run = self._closed.popleft()
            over = number + 1 - run.number
            if over < len(run.at):
                self._closed.appendleft(run.cut(over, len(run.at)))

    def forget(self, through: Through) -> list[Hashable]:
        """Let go of what no window behind `through` needs; give the records that are gone whole.

        In the order in which they were added.
        """
        for key, axis in self._axes.items():
            axis.drop(self._needed(key, axis, through))
        gone: list[Hashable] = []
        while self._records:
            name, parts = self._records[0]
            if any(self._axes[part.key].first < part.end for part in parts):
                break
            self._records.popleft()
            gone.append(name)
            for part in parts:
                self._before[part.key] = max(part.reach, self._before.get(part.key, NEVER))
                self._before_top = max(self._before_top, part.low)
        return gone

    def moment(self, through: Through) -> Moment:
        """Give what must be known to go on at `through`, behind the records that are forgotten."""
        row = through.row - self._whole() if self._leader is not None else through.row
        turn = self._first_turn if through.turn is None else through.turn
        return Moment(through._replace(row=row, turn=turn), dict(self._before), self._before_top)

    def _whole(self) -> int:
        """Give the first leading row of the records that are not forgotten."""
        for _, parts in self._records:
            for part in parts:
                if part.key == self._leader:
                    return part.begin
        return self._axes[self._leader].end if self._leader is not None else 0

    # --- what comes in ----------------------------------------------------------------------------

    def _axis(self, key: Key) -> Axis:
        axis = self._axes.get(key)
        if axis is None:
            mine = self._members(key)
            axis = self._axes[key] = Axis(mine, [self._inputs[number].type for number in mine])
            if 0 in mine:
                self._leader = key
                self._others = np.setdiff1d(np.arange(len(self._inputs)), list(mine))
        return axis

    def _in_time(self, block: Block, *, again: bool) -> Block:
        """Give what of a block may be in a window to come, and count what comes too late for one.

        Of the axis that leads windows of rows, that is everything.
        """
        rule = self._rule
        if not rule.every_ns and block.key == self._leader:
            return block
        late = block.times_ns < self._told_ns
        ahead = block.times_ns > block.received_ns + AHEAD_MOST_NS
        if not again:
            self.counts["late"] += int(np.count_nonzero(late)) * len(block.inputs)
            self.counts["ahead"] += int(np.count_nonzero(ahead)) * len(block.inputs)
        if rule.every_ns:
            assert self._next.turn is not None
            gone = ahead | (block.times_ns < self._begin_ns(self._next.turn))
        else:
            gone = ahead
        if not gone.any():
            return block
        kept = ~gone
        return block._replace(
            times_ns=block.times_ns[kept],
            received_ns=block.received_ns[kept],
            values=tuple(values[kept] for values in block.values),
            quality=block.quality[kept],
        )

    def _pass(self, inputs: Sequence[int], reach: int) -> None:
        places = list(inputs)
        self._passed[places] = np.maximum(self._passed[places], reach)

    # --- what is complete -------------------------------------------------------------------------

    def _close_rows(self) -> None:
        if self._leader is None:
            return
        rule, axis = self._rule, self._axes[self._leader]
        number, row, _ = self._next
        count = (axis.end - rule.rows - row) // rule.stride + 1
        if count <= 0:
            return
        at = row + rule.stride * np.arange(count)
        begin_ns, end_ns = self._bounds(axis, row, at)
        passed = self._all_passed(self._passed[self._others], end_ns)
        if not passed.all():
            count = int(np.argmin(passed))
            if not count:
                return
        run = _Run(number, begin_ns, end_ns, at).cut(0, count)
        self._next = self._after(run)
        self._told_ns = max(self._told_ns, int(run.end_ns.max()))
        self._closed.append(run)

    def _bounds(
        self, axis: Axis, row: int, at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give begin and end of the windows of rows that begin at the rows `at`."""
        rows = self._rule.rows
        times = axis.times(row, int(at[-1]) + rows)
        if axis.ascending:
            return times[at - row], times[at - row + rows - 1] + 1
        every = np.lib.stride_tricks.sliding_window_view(times, rows)[at - row]
        return every.min(axis=1), every.max(axis=1) + 1

    def _after(self, run: _Run) -> Through:
        """Give what follows the last window of a run."""
        number, at = run.number + len(run.at), int(run.at[-1])
        if self._rule.every_ns:
            return Through(number, 0, at + 1)
        return Through(number, at + self._rule.stride)

    def _close_spans(self) -> None:
        rule = self._rule
        while True:
            number, _, turn = self._next
            assert turn is not None
            begin_ns, end_ns = self._begin_ns(turn), (turn + 1) * rule.every_ns
            ends_ns = np.array([end_ns])
            if not self._all_passed(self._passed, ends_ns).all():
                break
            spans = [axis.span(begin_ns, end_ns) for axis in self._axes.values()]
            if any(low < high for low, high in spans):
                self._next = Through(number + 1, 0, turn + 1)
                run = _Run(number, np.array([begin_ns]), ends_ns, np.array([turn]))
                self._closed.append(run)
            else:
                self._next = Through(number, 0, max(turn + 1, self._next_turn(begin_ns)))
            self._told_ns = (self._next.turn or 0) * rule.every_ns

    def _begin_ns(self, turn: int) -> int:
        return (turn + 1) * self._rule.every_ns - self._rule.length_ns

    def _next_turn(self, begin_ns: int) -> int:
        """Give the first turn that may hold rows, where that of `begin_ns` holds none."""
        rows = [
            axis.times(axis.since(begin_ns), axis.end)
            for axis in self._axes.values()
            if axis.since(begin_ns) < axis.end
        ]
        if rows:
            return min(int(times[times >= begin_ns].min()) for times in rows) // self._rule.every_ns
        closed_ns = max(int(self._passed.min()), self._top - self._rule.grace_ns)
        return closed_ns // self._rule.every_ns

    def _all_passed(
        self, passed: NDArray[np.int64], ends_ns: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether nothing more is expected before each of `ends_ns`."""
        if not len(passed):
            return np.ones(len(ends_ns), np.bool_)
        reach: NDArray[np.bool_] = ends_ns <= max(
            int(passed.min()), self._top - self._rule.grace_ns
        )
        return reach

    def _needed(self, key: Key, axis: Axis, through: Through) -> int:
        """Give the first row of an axis that a window behind `through` may hold."""
        if self._rule.every_ns:
            return axis.first if through.turn is None else axis.since(self._begin_ns(through.turn))
        if key == self._leader:
            return through.row
        if self._leader is None:
            return axis.first
        leader = self._axes[self._leader]
        if through.row < leader.end:
            first = max(through.row, leader.first)
            return axis.since(int(leader.times(first, first + 1)[0]))
        if leader.end == leader.first:
            return axis.first
        return axis.since(int(leader.times(leader.end - 1, leader.end)[0]) + 1)

    # --- what goes out ----------------------------------------------------------------------------

    def _work(self, run: _Run) -> Work:
        """Lay the rows of some windows side by side; inputs that never came have an empty axis."""
        axes: list[NDArray[np.int64]] = []
        series: list[Series] = []
        ranges: list[NDArray[np.int64]] = []
        received = np.zeros(len(run.at), np.int64)
        there: set[int] = set()
        for key, axis in self._axes.items():
            first, end = self._rows_of(key, axis, run)
            low, high = int(first.min()), int(end.max())
            low = min(low, high)
            order = None
            times, came = axis.times(low, high), axis.received(low, high)
            if not axis.ascending and (key != self._leader or self._rule.every_ns):
                order = np.argsort(times, kind="stable")
                times, came = times[order], came[order]
                first = low + np.searchsorted(times, run.begin_ns)
                end = low + np.searchsorted(times, run.end_ns)
            counts = np.maximum(0, end - first)
            first = np.where(counts, first - low, 0)
            ranges.append(np.stack([first, counts], axis=1))
            np.maximum(received, greatest(came, first, counts, 0), out=received)
            series += self._series(axis, (low, high), len(axes), order)
            there.update(axis.inputs)
            axes.append(times)
        missing = [number for number in range(len(self._inputs)) if number not in there]
        if missing:
            ranges.append(np.zeros((len(run.at), 2), np.int64))
            kinds = [(number, self._inputs[number].type) for number in missing]
            series += [Series(number, len(axes), blank(kind, 0)) for number, kind in kinds]
            axes.append(np.empty(0, np.int64))
        series.sort(key=lambda one: one.input)
        cut = Cut(run.number, run.begin_ns, run.end_ns, np.stack(ranges, axis=1))
        return Work(axes, series, cut, Taken(self, self._after(run), received, run))

    def _rows_of(
        self, key: Key, axis: Axis, run: _Run
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give for each window its first row on an axis, and the one behind its last."""
        if key == self._leader and not self._rule.every_ns:
            return run.at, run.at + self._rule.rows
        return axis.spans(run.begin_ns, run.end_ns)

    def _series(
        self, axis: Axis, rows: tuple[int, int], number: int, order: NDArray[np.intp] | None
    ) -> Iterator[Series]:
        for place, of_input in enumerate(axis.inputs):
            values, quality = axis.values(place, *rows), axis.quality(place, *rows)
            if order is not None:
                values = values[order]
                quality = None if quality is None else quality[order]
            yield Series(of_input, number, values, quality)

    def alone(self, run: _Run, received_ns: NDArray[np.int64], place: int) -> Taken:
        """Give the mark of one window of a run."""
        one = run.cut(place, place + 1)
        return Taken(self, self._after(one), received_ns[place : place + 1], one)


def _joined(runs: Sequence[_Run]) -> _Run:
    """Give runs that follow each other as one."""
    if len(runs) == 1:
        return runs[0]
    _, begins, ends, at = zip(*runs, strict=True)
    return _Run(runs[0].number, *(np.concatenate(parts) for parts in (begins, ends, at)))


def _sound(block: Block) -> NDArray[np.int64]:
    """Give the times of a block, none ahead of its own arrival."""
    return np.minimum(block.times_ns, block.received_ns)
