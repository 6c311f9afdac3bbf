"""What a start misses: positions that no segment has, found between the segments and behind them.

Owns the account of it: each loss becomes a gap, told once. Looks at the catalog and at what else
proves that records were there; must not know files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from forebay.events import DATA_LOST
from forebay.journal.entry import Damage, gap_entry
from forebay.journal.named import outermost, positions, uncovered, within
from forebay.journal.segment import Totals, own_counts
from forebay.model import EPOCH_RANDOM_BITS, Gap, GapCause, Stream, epoch_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.clock import Clock
    from forebay.events import Event
    from forebay.journal import ledger
    from forebay.journal.catalog import Catalog, IndexCache, Segment
    from forebay.journal.entry import Entry
    from forebay.journal.segment import SegmentHeader


class Place(NamedTuple):
    """The last record up to somewhere, and the account behind it; all zeros before the first."""

    epoch: int = 0
    seq: int = 0
    totals: Totals = Totals()


class Proof(NamedTuple):
    """Something that shows how far a stream went: its last `place`, and its source times."""

    place: Place
    cause: GapCause
    time_min_ns: int
    time_max_ns: int


@dataclass(slots=True)
class Losses:
    """The gaps to write and the events to tell, in the order in which they were found."""

    catalog: Catalog
    cache: IndexCache
    clock: Clock
    gaps: list[Entry] = field(default_factory=list)
    events: list[tuple[Event, dict[str, object]]] = field(default_factory=list)

    def unclean(self, stream: Stream, last_written_ns: int) -> None:
        """Say that what was accepted and not yet durable is lost, nobody knows how much."""
        now_ns = self.clock.now_ns()
        gap = Gap(GapCause.UNCLEAN_SHUTDOWN, min(last_written_ns, now_ns), now_ns, None)
        self.gaps.append(gap_entry(stream, gap))
        self.events.append((DATA_LOST, {"cause": gap.cause.name, "stream": stream.value}))

    def behind(self, stream: Stream, last: Place, proofs: Iterable[Proof]) -> Totals:
        """Account for what stood behind the `last` readable record; give the account behind that.

        A number that is proven to be spent counts, whether or not its record was ever durable.
        """
        for proof in sorted(proofs, key=lambda p: p.place[:2]):
            place, totals = proof.place, last.totals
            if place[:2] <= last[:2] or place.totals.records <= totals.records:
                continue
            spent = place.totals.records - totals.records
            counted = max(0, place.totals.counted - totals.counted)
            samples: int | None = counted + max(0, place.totals.missing - totals.missing)
            times = proof.time_min_ns, proof.time_max_ns
            first = last.seq + 1 if place.epoch == last.epoch else 1
            older = spent - (place.seq - first + 1)
            if older > 0 and last.epoch:
                own = samples if place.seq < first else 0
                ending = Damage(stream, last.epoch, last.seq + 1, last.seq + older, own, *times)
                self._gap(ending, proof.cause)
            elif older > 0:
                samples = None  # epochs of which nothing is left: retention may have had them
            if first <= place.seq:
                damage = Damage(stream, place.epoch, first, place.seq, samples, *times)
                self._gap(damage, proof.cause)
            last = place
        return last.totals

    def before(self, stream: Stream, furthest: ledger.Place | None) -> None:
        """Account for what stood before the oldest segment and went without a word.

        Retention removes in silence only what every consumer has passed; of the rest it leaves a
        gap. So behind the `furthest` consumer every number is on disk or named, or it was lost.
        """
        segments = self.catalog.segments(stream)
        known = furthest is not None and (furthest.records or not furthest.counted_to.epoch)
        if furthest is None or not segments or not known:
            return
        head, edge = segments[0].header, furthest.counted_to
        reached = Totals(furthest.reached, head.before.missing, furthest.records)
        last, end = Place(*edge[1:], reached), Place(head.epoch, head.first_seq - 1, head.before)
        said = within((named.gap for named in self.catalog.gaps(stream)), last[:2], end[:2])
        if end.totals.records - last.totals.records <= positions(said):
            return
        if last.epoch:
            proof = Proof(end, GapCause.CORRUPT, head.created_ns, head.created_ns)
            self.behind(stream, last, [proof])
        else:
            self._beginning(head, said)

    def _beginning(self, head: SegmentHeader, said: list[Gap]) -> None:
        """Account for what stood before the oldest segment, where no consumer has passed anything.

        Nobody knows what the epochs before were called, but how many numbers they spent: these
        are named in one that lies before `head`. How the samples spread is not known, but how many
        they are: the last gap has them.
        """
        own = [(head.epoch, *run) for run in uncovered(head.epoch, 1, head.first_seq - 1, said)]
        older = head.before.records - (head.first_seq - 1)
        older -= positions(gap for gap in said if gap.epoch != head.epoch)
        if older > 0:
            own.insert(0, (_epoch_before(head.epoch), 1, older))
        known = None not in (gap.samples for gap in said)
        told = sum(gap.samples or 0 for gap in outermost(said))
        samples = max(0, head.before.counted + head.before.missing - told) if known else None
        for number, place in enumerate(own, start=1):
            mine = samples if samples is None or number == len(own) else 0
            times = head.created_ns, head.created_ns
            self._gap(Damage(head.stream, *place, mine, *times), GapCause.CORRUPT)

    def between(self, stream: Stream) -> None:
        """Account for positions that no segment has, between the segments and inside them."""
        before: Segment | None = None
        for segment in self.catalog.segments(stream):
            head, summary = segment.header, segment.summary
            if before is not None and before.header.epoch == head.epoch:
                last, after = before.summary.last_seq, before.summary.after
                self._hole(segment, last + 1, head.first_seq, head.before.counted - after.counted)
            elif before is not None:
                self._ending(before, segment)
            if summary.last_seq - head.first_seq + 1 > summary.count:
                due, counted = head.first_seq, head.before.counted
                rows = self.cache.load(segment)
                for row, own in zip(rows, own_counts(rows).tolist(), strict=True):
                    seq, until = head.first_seq + int(row["step"]), int(row["counted"])
                    self._hole(segment, due, seq, until - counted)
                    due, counted = seq + 1, until + own
            before = segment

    def _ending(self, last: Segment, following: Segment) -> None:
        """Account for the end of an epoch, as the first header of the next one shows it.

        What gaps name already may lie in epochs between the two, of which no segment is left.
        """
        summary, before = last.summary, following.header.before
        spent = before.records - summary.after.records
        if spent <= 0:
            return
        places = (last.last[1:], following.first[1:])
        said = [
            g.gap
            for g in self.catalog.gaps(last.stream)
            if (g.gap.epoch, g.gap.seq_to) > places[0] and (g.gap.epoch, g.gap.seq_from) < places[1]
        ]
        spent -= positions(said)
        if spent > 0:
            counted = before.counted - summary.after.counted
            samples = counted - sum(gap.samples or 0 for gap in said)
            seq = max((g.seq_to for g in said if g.epoch == last.header.epoch), default=0)
            seq = max(seq, summary.last_seq) + 1
            times = summary.time_min_ns, summary.time_max_ns
            place = (last.stream, last.header.epoch, seq, seq + spent - 1)
            self._gap(Damage(*place, max(0, samples), *times), GapCause.CORRUPT)

    def _hole(self, segment: Segment, due: int, seq: int, samples: int) -> None:
        """Account for the seqs from `due` up to the one before `seq`, if there are any."""
        if due < seq:
            times = segment.summary.time_min_ns, segment.summary.time_max_ns
            place = (segment.stream, segment.header.epoch)
            self._gap(Damage(*place, due, seq - 1, max(0, samples), *times), GapCause.CORRUPT)

    def _gap(self, damage: Damage, cause: GapCause) -> None:
        """Write a gap, unless one in the journal says it already."""
        if self.catalog.covered(damage.stream, damage.epoch, damage.seq_from, damage.seq_to):
            return
        self.gaps.append(gap_entry(damage.stream, damage.gap(cause)))
        told: dict[str, object] = {
            "cause": cause.name,
            "stream": damage.stream.value,
            "seq_from": damage.seq_from,
            "seq_to": damage.seq_to,
            "samples": damage.samples,
        }
        self.events.append((DATA_LOST, told))


def _epoch_before(epoch: int) -> int:
    """Give an epoch of the run before that of `epoch`: the last there can be."""
    return max(1, (epoch_number(epoch) << EPOCH_RANDOM_BITS) - 1)
