"""The account: produced = delivered + pending + gapped + quarantined, in samples.

Owns the arithmetic (docs/internals/journal.md, Ledger). Pure: works on a stream's View and on what
a cursor keeps. Must not know files or threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.journal.named import outermost
from forebay.journal.segment import batch_samples, batch_thinned, own_counts
from forebay.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from forebay.journal.catalog import View
    from forebay.model import Gap

    Damaged = Callable[[Position], int]
    """Counts the samples of damaged records behind a position."""


class Reached(NamedTuple):
    """The stream's account up to some position: samples in batches as first written, and records.

    As `Totals`.
    """

    counted: int = 0
    records: int = 0


class Counts(NamedTuple):
    """Samples that are in batches, and those that thinning took from the same batches."""

    samples: int = 0
    thinned: int = 0


NOTHING = Counts()


@dataclass(frozen=True, slots=True)
class Account:
    """Where a stream's samples are, for one consumer.

    `produced` are all that the journal has ever answered for. `delivered`: the consumer passed
    them. `pending`: on disk behind the cursor. `gapped`: gone or never journaled, and a gap record
    says so, or the record that they were thinned from; or gone before the consumer came; or set
    aside, and the copy has gone. `quarantined`: passed, but refused by the destination for good,
    and a copy is kept. Each is counted for itself, so a sample that is lost and named nowhere is in
    none of them.
    """

    produced: int
    delivered: int
    pending: int
    gapped: int
    quarantined: int

    @property
    def balanced(self) -> bool:
        """Whether every sample is somewhere: produced = delivered + pending + gapped + quarantined.

        False means that samples were lost and nothing accounts for them: a defect, or a hand in the
        directory.
        """
        parts = self.delivered + self.pending + self.gapped + self.quarantined
        return self.produced == parts


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor's position in one stream, with the account of what lies at or before it.

    `reached` counts the samples of all batches up to the position, of which this consumer never got
    `gapped` and had `quarantined` refused; `lost` were gone and no gap named them. `passed` counts
    what is up to the position in the one segment that holds it. `records` counts all records, or
    numbers that are spent, up to where `reached` goes, and is 0 if nobody knows. `reached` may go
    further than the position, up to `edge`: what was gone when the consumer came.
    """

    position: Position
    reached: int
    gapped: int = 0
    quarantined: int = 0
    passed: Counts = NOTHING
    lost: int = 0
    edge: Position | None = None
    records: int = 0

    @property
    def counted_to(self) -> Position:
        """Where `reached` holds."""
        return self.position if self.edge is None else max(self.position, self.edge)


def arrived(view: View, place: Place) -> Place:
    """Give the place of a consumer that comes now, or comes back.

    What is no longer on disk it cannot get any more. Nobody can show that it had it, so it is
    gapped.
    """
    if not view.segments:
        return place
    before = _before(view)
    gone = view.segments[0][0].header.before.counted - place.reached
    if place.counted_to >= before or gone <= 0:
        return place
    return replace(
        place,
        reached=place.reached + gone,
        gapped=place.gapped + gone,
        edge=before,
        records=view.segments[0][0].header.before.records,
    )


def remaining(view: View, place: Place, damaged: Damaged) -> Counts:
    """Count the samples that can still be read behind `place`, and what thinning took there."""
    samples = thinned = 0
    position = place.position
    for segment, summary in view.segments:
        if segment.first > position:
            samples += summary.samples
            thinned += summary.thinned
        elif segment.header.epoch == position.epoch and position.seq < summary.last_seq:
            samples += summary.samples - place.passed.samples
            thinned += summary.thinned - place.passed.thinned
    return Counts(samples - damaged(position), thinned)


def at(view: View, position: Position, rows: NDArray[Any] | None) -> tuple[Reached, Counts]:
    """Give what is reached and `passed` at `position`.

    `rows` is the index of the segment that holds the position, None if none does or if its last
    record is meant.
    """
    for segment, summary in reversed(view.segments):
        head = segment.header
        if segment.first > position:
            continue
        if head.epoch == position.epoch and position.seq < summary.last_seq:
            step = position.seq - head.first_seq
            counted, passed = _inside(rows, step, head.before.counted)
            return Reached(counted, head.before.records + step + 1), passed
        spent = position.seq - summary.last_seq if head.epoch == position.epoch else 0
        inside = segment.last == position
        whole = Counts(summary.samples, summary.thinned)
        reached = Reached(summary.after.counted, summary.after.records + spent)
        return reached, whole if inside else NOTHING
    if view.segments and position >= _before(view):
        totals = view.segments[0][0].header.before
        return Reached(totals.counted, totals.records), NOTHING
    return Reached(), NOTHING


def _inside(rows: NDArray[Any] | None, step: int, before: int) -> tuple[int, Counts]:
    if rows is None:
        return before, NOTHING
    passed = rows[: int(np.searchsorted(rows["step"], step, side="right"))]
    if not len(passed):
        return before, NOTHING
    counted = int(passed["counted"][-1]) + int(own_counts(passed[-1:])[0])
    return counted, Counts(batch_samples(passed), batch_thinned(passed))


def named(view: View, place: Place, damaged: Damaged) -> int:
    """Count the samples behind `place` that are gone and that gap records name.

    The sizes of holes come from their two edges, that they are accounted for from gap records: what
    is in a hole that nobody names is not counted.
    """
    gaps = [gap.gap for _, summary in view.segments for gap in summary.gaps]
    gaps += view.promised
    edge, before = place.counted_to, Reached(place.reached, place.records)
    total = damaged(place.position)
    for segment, summary in view.segments:
        head = segment.header
        last = Position(head.stream, head.epoch, summary.last_seq)
        if last <= edge:
            continue
        known = summary.samples + summary.thinned
        if segment.first > edge:
            size = head.before.counted - before.counted
            unknown = edge.epoch and not before.records
            spent = None if unknown else head.before.records - before.records
            total += _of_hole(gaps, (edge, segment.first), size, spent)
            before = Reached(head.before.counted, head.before.records)
        else:
            known -= sum(place.passed)
        size = summary.after.counted - before.counted - known
        total += _inside_segment(gaps, edge, last, size)
        edge, before = last, Reached(summary.after.counted, summary.after.records)
    return total


def _of_hole(
    gaps: Sequence[Gap], edges: tuple[Position, Position], size: int, spent: int | None
) -> int:
    """Give how many of the `size` samples between two positions gaps name.

    All positions between must be named; if they are not, only what gaps say by themselves counts.
    Where the hole spans epochs nobody knows where the older one ended, but how many numbers were
    `spent`; a gap that reaches beyond the hole counts for its share of them. Where that is not
    known either, what gaps say counts.
    """
    if size <= 0:
        return 0
    before, behind = edges
    if before.epoch != behind.epoch:
        found = [g for g in gaps if _end(g) > before[1:] and _begin(g) < behind[1:]]
        told = _positions(found, before, behind)
        if spent is None:
            return _said(found, size)
        if told >= spent or any(gap.samples is None for gap in found):
            return size
        return min(_said(found, size), size * told // spent)
    due = before.seq + 1
    mine = sorted((g for g in gaps if g.epoch == behind.epoch), key=_begin)
    for gap in mine:
        if gap.seq_from <= due:
            due = max(due, gap.seq_to + 1)
    if due >= behind.seq:
        return size
    within = [g for g in mine if before.seq < g.seq_from and g.seq_to < behind.seq]
    return min(size, sum(g.samples or 0 for g in outermost(within)))


def _inside_segment(gaps: Sequence[Gap], after: Position, last: Position, size: int) -> int:
    """Give how many of `size` samples missing in a segment, behind `after`, gaps name."""
    if size <= 0:
        return 0
    return _said([g for g in gaps if _end(g) > after[1:] and _begin(g) <= last[1:]], size)


def _said(gaps: Sequence[Gap], size: int) -> int:
    """Give what `gaps` say is gone, at most `size`; one of unknown size accounts for all."""
    if any(gap.samples is None for gap in gaps):
        return size
    return min(size, sum(gap.samples or 0 for gap in outermost(gaps)))


def _positions(gaps: Sequence[Gap], before: Position, behind: Position) -> int:
    """Count the positions between two others that gaps name, each once."""
    count, reached = 0, (before.epoch, before.seq)
    for gap in sorted(gaps, key=_begin):
        first = max(gap.seq_from, reached[1] + 1 if gap.epoch == reached[0] else 1)
        last = min(gap.seq_to, behind.seq - 1) if gap.epoch == behind.epoch else gap.seq_to
        count += max(0, last - first + 1)
        reached = max(reached, (gap.epoch, last))
    return count


def _begin(gap: Gap) -> tuple[int, int]:
    return gap.epoch, gap.seq_from


def _end(gap: Gap) -> tuple[int, int]:
    return gap.epoch, gap.seq_to


def move(
    view: View, place: Place, target: Position, rows: NDArray[Any] | None, damaged: Damaged
) -> Place:
    """Move forward to `target`: what could be read in between is delivered.

    What thinning took from it is gapped, and so are holes as far as gaps name them; else they are
    lost.
    """
    reached, passed = at(view, target, rows)
    moved = replace(
        place,
        position=target,
        reached=max(place.reached, reached.counted),
        passed=passed,
        records=max(place.records, reached.records),
    )
    if view.segments and target < _before(view):
        moved = _overtaken(view, moved)
    before, behind = remaining(view, place, damaged), remaining(view, moved, damaged)
    read, thinned = before.samples - behind.samples, before.thinned - behind.thinned
    hole = max(0, moved.reached - place.reached - read - thinned)
    told = max(0, named(view, place, damaged) - named(view, moved, damaged))
    gapped = min(hole, told)
    return replace(moved, gapped=place.gapped + thinned + gapped, lost=place.lost + hole - gapped)


def rewound(
    view: View,
    place: Place,
    target: Position,
    base: Place,
    rows: NDArray[Any] | None,
    damaged: Damaged,
) -> Place:
    """Go back to `target`: the destination has lost what it had behind it.

    What is on disk there was delivered and is so no more; what was gapped, lost or quarantined on
    the way is so no more either, as far as `base`, the latest place up to `target` that is
    remembered, shows that it came after that. What is gone, between `base` and the oldest record,
    is gapped.
    """
    if not view.segments or target < _before(view):
        return arrived(view, replace(base, position=target, passed=NOTHING, edge=None))
    reached, passed = at(view, target, rows)
    back = Place(target, reached.counted, passed=passed, records=reached.records)
    far, near = remaining(view, back, damaged), remaining(view, place, damaged)
    read, thinned = far.samples - near.samples, far.thinned - near.thinned
    hole = max(0, place.reached - back.reached - read - thinned)
    told = min(hole, max(0, named(view, back, damaged) - named(view, place, damaged)))
    return replace(
        back,
        gapped=place.gapped - min(place.gapped - base.gapped, thinned + told),
        quarantined=min(place.quarantined, base.quarantined),
        lost=place.lost - min(place.lost - base.lost, hole - told),
    )


def _before(view: View) -> Position:
    """Give the position before the first record that may be on disk."""
    header = view.segments[0][0].header
    return Position(header.stream, header.epoch, header.first_seq - 1)


def _overtaken(view: View, place: Place) -> Place:
    """Give a place that retention has passed: `reached` holds before the oldest segment left."""
    edge = _before(view)
    if place.counted_to >= edge:
        return place
    totals = view.segments[0][0].header.before
    return replace(
        place,
        reached=max(place.reached, totals.counted),
        edge=edge,
        records=max(place.records, totals.records),
    )


def settled(view: View, place: Place, rows: NDArray[Any] | None) -> Place:
    """Fit a remembered place to what the journal holds now: never beyond its end or its account."""
    last = view.segments[-1][0].last if view.segments else place.position
    position = min(place.position, last)
    (counted, records), passed = at(view, position, rows)
    first_counted = view.segments[0][0].header.before.counted if view.segments else 0
    inside = view.find(position) is not None
    if inside:  # a record that was passed may be damaged since: then only the place knows of it
        reached = min(max(place.reached, counted), _until(view, position, rows))
    else:
        reached = min(place.reached, max(counted, first_counted))
    gapped = min(place.gapped, reached)
    quarantined = min(place.quarantined, reached - gapped)
    lost = min(place.lost, reached - gapped - quarantined)
    edge = None if inside else place.edge
    if not inside:
        records = max(place.records, records) if reached >= place.reached else 0
    return Place(position, reached, gapped, quarantined, passed, lost, edge, records)


def _until(view: View, position: Position, rows: NDArray[Any] | None) -> int:
    """Give `counted` before the first record behind `position`, which lies in a segment.

    Without `rows`, as `at`: that segment's beginning, or its end if its last record is meant.
    """
    for segment, summary in reversed(view.segments):
        if segment.first > position:
            continue
        if position.seq >= summary.last_seq:
            return summary.after.counted
        if rows is None:
            return segment.header.before.counted
        step = position.seq - segment.header.first_seq
        later = rows["counted"][int(np.searchsorted(rows["step"], step, side="right")) :]
        return int(later[0]) if len(later) else summary.after.counted
    return 0


def account(view: View, place: Place, damaged: Damaged, kept: int) -> Account:
    """Give the account of a stream for a consumer at `place`.

    `kept` are the samples up to there of which the quarantine has a copy: what was refused and has
    none any more is gapped.
    """
    pending, thinned = remaining(view, place, damaged)
    quarantined = min(place.quarantined, kept)
    dropped = place.quarantined - quarantined
    return Account(
        produced=view.totals.counted + view.totals.missing,
        delivered=place.reached - place.gapped - place.quarantined - place.lost,
        pending=pending,
        gapped=view.totals.missing + place.gapped + dropped + thinned + named(view, place, damaged),
        quarantined=quarantined,
    )
