"""How many samples of each Gap are lost to this server.

Owns the arithmetic; pure. Must not know the store.

A gateway says a gap once for all its uplinks: another server may lack what this one holds, and a
gap that may not have reached every server is said again, alone or as part of a longer one. What is
known of samples is one sum for all the positions that a Gap names. So what a Gap counts for follows
from all Gaps that name some of its positions and from what the store holds of them, and from
nothing else: records and Gaps may come in any order, and come late.

- A Gap inside another one of its cause counts nothing: the longer one says its samples again.
- A gateway leaves out of a Gap what an earlier Gap of another cause has named, in the order of the
  Gap records. So those positions are not this Gap's.
- A record set aside in quarantine is still in the journal, and is counted by any other Gap that
  names it later: QUARANTINED gives way to every other cause.
- From the sum goes what the store holds of the positions that are left (a refused record counts as
  held: its samples are under `refused`; a thinned one with what it lost). What remains belongs to
  the missing positions.

Where two Gaps of one cause overlap and neither holds the other, nobody can know how their samples
lie in the overlap: both count in full, so that a loss may be told too large but never too small.
`overlaps` bounds by how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay_fleet.ledger import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

QUARANTINED = "QUARANTINED"


class NamedGap(NamedTuple):
    """A Gap record that names positions of one line; both ends are inclusive.

    `epoch` and `seq` are the record's own position, `samples` is None where nobody can know, and
    `counted` is what the store says so far.
    """

    id: int
    epoch: int
    seq: int
    cause: str
    first: int
    last: int
    samples: int | None
    counted: int

    @property
    def order(self) -> tuple[int, int]:
        """Where the Gap record stands."""
        return self.epoch, self.seq


class Holdings(Protocol):
    """What the store has of one line: records and refused records."""

    def positions(self, first: int, last: int) -> int:
        """Count the positions of `first..last` that are here."""
        ...

    def samples(self, first: int, last: int) -> int:
        """Add up what they stand for: their samples and those that thinning took.

        With the samples of Gap records among them that never had a position.
        """
        ...


def counts(gaps: Sequence[NamedGap], holdings: Holdings, wanted: Iterable[int]) -> dict[int, int]:
    """Give how many samples each Gap of `wanted` (ids) adds to what is lost.

    `gaps` must hold every Gap that names a position of a wanted one.
    """
    kept = {gap.id: gap for gap in _kept(gaps)}
    found: dict[int, int] = {}
    for number in wanted:
        gap = kept.get(number)
        found[number] = 0 if gap is None else _lost(gap, gaps, holdings)
    return found


def overlaps(gaps: Sequence[NamedGap], holdings: Holdings) -> int:
    """Give the most samples that two Gaps of one cause may both count: 0 if all is exact."""
    doubtful = 0
    kept = _kept(gaps)
    for gap in kept:
        rivals = [
            other
            for other in kept
            if other.cause == gap.cause and gap.first < other.first <= gap.last < other.last
        ]
        for other in rivals:
            width = gap.last - other.first + 1
            if holdings.positions(other.first, gap.last) < width:
                doubtful += min(gap.counted, other.counted)
    return doubtful


def _kept(gaps: Sequence[NamedGap]) -> list[NamedGap]:
    """Give the Gaps that know their samples and are inside no other one that says them again."""
    of_cause: dict[str, list[NamedGap]] = {}
    for gap in gaps:
        if gap.samples:
            of_cause.setdefault(gap.cause, []).append(gap)
    kept: list[NamedGap] = []
    for cause in sorted(of_cause, key=lambda c: c == QUARANTINED):
        end = 0
        stronger = Coverage()
        if cause == QUARANTINED:
            for gap in kept:
                stronger.add(gap.first, gap.last)
        for gap in sorted(of_cause[cause], key=lambda g: (g.first, -g.last, g.order)):
            if gap.last > end:
                end = gap.last
                if stronger.holes(gap.first, gap.last):
                    kept.append(gap)
    return kept


def _lost(gap: NamedGap, gaps: Sequence[NamedGap], holdings: Holdings) -> int:
    others = Coverage()
    for other in gaps:
        if other.cause not in {gap.cause, QUARANTINED} and other.order < gap.order:
            others.add(other.first, other.last)
    own = others.holes(gap.first, gap.last)
    if all(holdings.positions(*run) == run.last - run.first + 1 for run in own):
        return 0
    return max(0, (gap.samples or 0) - sum(holdings.samples(*run) for run in own))
