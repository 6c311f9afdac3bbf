"""The account: produced = delivered + pending + gapped + quarantined, in samples.

Owns the arithmetic (docs/internals/journal.md, Ledger). Pure: works on a stream's View and on what
a cursor keeps. Must not know files or threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.journal.segment import batch_samples
from forebay.model import Position, RecordKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from forebay.journal.catalog import Catalog, View
    from forebay.model import Stream


@dataclass(frozen=True, slots=True)
class Account:
    """Where a stream's samples are, for one consumer.

    `produced` are all that the journal has ever answered for. `delivered`: the consumer passed
    them. `pending`: on disk behind the cursor. `gapped`: gone, or never journaled. `quarantined`:
    passed, but refused by the destination for good.
    """

    produced: int
    delivered: int
    pending: int
    gapped: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor's position in one stream, with the account of what lies at or before it.

    `reached` counts the samples of all batches up to the position, of which this consumer never got
    `gapped` and had `quarantined` refused. `passed` counts those up to the position in the one
    segment that holds it.
    """

    position: Position
    reached: int
    gapped: int = 0
    quarantined: int = 0
    passed: int = 0


def start(view: View, stream: Stream, catalog: Catalog) -> Place:
    """Give the place of a cursor of which nothing is known: before everything that is there.

    What retention dropped before counts as delivered unless a gap record says that it was not.
    """
    first = view.segments[0][0] if view.segments else None
    if first is None:
        return Place(Position(stream, 0, 0), 0)
    reached = first.header.before.counted
    gapped = sum(
        gap.samples or 0
        for _, gap in catalog.gaps(stream)
        if (gap.epoch, gap.seq_from) < (first.header.epoch, first.header.first_seq)
    )
    return Place(Position(stream, 0, 0), reached, min(gapped, reached))


def remaining(view: View, place: Place, damaged: Callable[[Position], int]) -> int:
    """Count the samples that can still be read behind `place`."""
    total = 0
    position = place.position
    for segment, summary in view.segments:
        if segment.first > position:
            total += summary.samples
        elif segment.header.epoch == position.epoch and position.seq <= summary.last_seq:
            total += summary.samples - place.passed
    return total - damaged(position)


def at(view: View, position: Position, rows: NDArray[Any] | None) -> tuple[int, int]:
    """Give (`reached`, `passed`) at `position`.

    `rows` is the index of the segment that holds the position, None if none does or if its last
    record is meant.
    """
    reached = passed = 0
    for segment, summary in reversed(view.segments):
        if segment.first > position:
            continue
        if segment.header.epoch == position.epoch and position.seq < summary.last_seq:
            return _inside(
                rows, position.seq - segment.header.first_seq, segment.header.before.counted
            )
        inside = segment.last == position
        return summary.after.counted, summary.samples if inside else 0
    return reached, passed


def _inside(rows: NDArray[Any] | None, step: int, before: int) -> tuple[int, int]:
    if rows is None:
        return before, 0
    count = int(np.searchsorted(rows["step"], step, side="right"))
    if not count:
        return before, 0
    last = rows[count - 1]
    own = int(last["samples"]) if last["kind"] == RecordKind.BATCH else 0
    return int(last["counted"]) + own, batch_samples(rows[:count])


def move(
    view: View,
    place: Place,
    target: Position,
    rows: NDArray[Any] | None,
    damaged: Callable[[Position], int],
) -> Place:
    """Move forward to `target`: what could be read in between is delivered, holes are gapped."""
    reached, passed = at(view, target, rows)
    reached = max(place.reached, reached)
    moved = replace(place, position=target, reached=reached, passed=passed)
    between = remaining(view, place, damaged) - remaining(view, moved, damaged)
    return replace(moved, gapped=place.gapped + max(0, reached - place.reached - between))


def settled(view: View, place: Place, rows: NDArray[Any] | None) -> Place:
    """Fit a remembered place to what the journal holds now: never beyond its end or its account."""
    last = view.segments[-1][0].last if view.segments else place.position
    position = min(place.position, last)
    reached, passed = at(view, position, rows)
    first_counted = view.segments[0][0].header.before.counted if view.segments else 0
    inside = view.find(position) is not None
    reached = reached if inside else min(place.reached, max(reached, first_counted))
    gapped = min(place.gapped, reached)
    return Place(position, reached, gapped, min(place.quarantined, reached - gapped), passed)


def account(view: View, place: Place, damaged: Callable[[Position], int]) -> Account:
    """Give the account of a stream for a consumer at `place`."""
    produced = view.totals.counted + view.totals.missing
    pending = remaining(view, place, damaged)
    delivered = place.reached - place.gapped - place.quarantined
    return Account(
        produced=produced,
        delivered=delivered,
        pending=pending,
        gapped=produced - delivered - pending - place.quarantined,
        quarantined=place.quarantined,
    )
