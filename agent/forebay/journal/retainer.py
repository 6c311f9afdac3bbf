"""Retention at work: drops and thins what `retention` names, in an order that a cut survives.

Owns the steps on disk: cursors, gaps, then unlink; the thinner copy, then the swap, then unlink.
Runs on the writer thread. Must not know queues or futures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.clock import AgeClock
from forebay.events import DATA_LOST, SEGMENT_DROPPED, SEGMENT_THINNED
from forebay.files import no_space
from forebay.journal import retention
from forebay.journal.appender import FRESH_SUFFIX
from forebay.journal.entry import gap_entry
from forebay.journal.rewrite import Thinner
from forebay.model import Gap, GapCause, Position, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.journal.appender import Appender
    from forebay.journal.catalog import Catalog, IndexCache, Segment
    from forebay.journal.cursor import CursorStore
    from forebay.journal.entry import JournalLimits
    from forebay.journal.rewrite import Thinned
    from forebay.journal.writer import Told


FULL_PAUSE_S = 60.0
"""How long no copy is begun after one found no room on the disk."""


class Retainer:
    """Retention of all streams."""

    def __init__(
        self,
        limits: JournalLimits,
        seams: Seams,
        parts: tuple[Catalog, IndexCache, CursorStore],
        logs: Mapping[Stream, Appender],
        told: Told,
        ended: Callable[[Future[Thinned]], None],
    ) -> None:
        """Write gaps to `logs`; `ended` is called on another thread when a copy is made."""
        self._limits, self._disk, self._clock = limits, seams.disk, seams.clock
        self.limits = limits
        """The limits that the disk has room for; see `fit`."""
        self._catalog, self._cache, self._cursors = parts
        self._logs, self._told = logs, told
        self._age = AgeClock()
        self._thinner = Thinner(seams.disk, ended)
        self.thinning = False
        """Whether a copy is being made."""
        self.dropped_samples = 0
        """Of segments that went before every consumer had passed them."""
        self._not_before_s = 0.0
        self._tried: dict[Path, int] = {}
        self.full: frozenset[Stream] = frozenset()
        """Streams that take no more batches until consumers have passed some."""

    def stop(self) -> None:
        """End the thread that makes copies. Blocks until then."""
        self._thinner.stop()

    def fit(self, free_bytes: int, ballast_bytes: int) -> None:
        """Make do with what the disk has for the journal; see `retention.budget_bytes`."""
        most = self._limits.max_bytes
        fitting = retention.budget_bytes(most, self.held_bytes(), free_bytes, ballast_bytes)
        self.limits = replace(self._limits, max_bytes=fitting)

    def run(self) -> None:
        """Drop what must go, have one segment thinned if that is due, see which streams are full.

        OSError if the disk refuses.
        """
        now_ns = self._age.now_ns(self._clock.read())
        held = self.held()
        drops = retention.plan(held, self._limits, now_ns, self.limits)
        judges = (retention.full, retention.thinnable)
        if drops or any(judge(held, self.limits) for judge in judges):
            self._save()
            self.drop(retention.plan(self.held(), self._limits, now_ns, self.limits))
            held = self.held()
        self.full = retention.full(held, self.limits)
        wait = self.thinning or self._clock.monotonic_s() < self._not_before_s
        due = None if wait else retention.thinnable(held, self.limits)
        if due is not None:
            self.thinning = True
            candidate, level_s = due
            self._thinner.begin(self._segment(candidate), level_s)

    def relieve(self, need_bytes: int) -> int:
        """Drop what a full disk needs to get `need_bytes` back; give how many bytes went.

        OSError if the disk refuses; NoRoom, with nothing done, if there is none even for the gap.
        """
        drops = retention.relief(self.held(), need_bytes)
        self.drop(drops)
        return sum(drop.held.file_bytes for drop in drops)

    def held_bytes(self) -> int:
        """Give what all segments take on disk, the room reserved for the growing ones included."""
        return sum(
            s.summary.file_bytes for stream in Stream for s in self._catalog.segments(stream)
        )

    def held(self) -> dict[Stream, list[retention.Held]]:
        """Give all segments as retention sees them."""
        segments = {stream: self._catalog.segments(stream) for stream in Stream}
        there = {s.path for of in segments.values() for s in of}
        self._tried = {path: level for path, level in self._tried.items() if path in there}
        return {
            stream: [self._held(number, segment) for number, segment in enumerate(of)]
            for stream, of in segments.items()
        }

    def _held(self, number: int, segment: Segment) -> retention.Held:
        summary = segment.summary
        return retention.Held(
            segment.stream,
            number,
            summary.file_bytes,
            summary.sealed_ns,
            synced=summary.synced,
            level_s=max(segment.header.level_s, self._tried.get(segment.path, 0)),
            passed=self._slowest(segment) is None,
            delivered=any(
                c.delivers and c.passed(segment.stream) >= segment.last for c in self._cursors.all()
            ),
            begun=not self._cursors.may_thin(segment),
        )

    def _segment(self, held: retention.Held) -> Segment:
        return self._catalog.segments(held.stream)[held.number]

    # --- thinning ---------------------------------------------------------------------------------

    def adopt(self, made: Thinned) -> None:
        """Let a copy take its segment's place, unless somebody has begun to read that meanwhile.

        A crash in between leaves both, of which the next start takes the copy. OSError if the disk
        refuses.
        """
        self.thinning = False
        if made.error is not None:
            raise made.error
        segment, copy = made.segment, made.copy
        if copy is None:
            if made.full:  # the copy needs room first: asking at once would ask for ever
                self._not_before_s = self._clock.monotonic_s() + FULL_PAUSE_S
            else:
                self._tried[segment.path] = made.level_s
            return
        fresh = copy.path.with_name(copy.path.name + FRESH_SUFFIX)
        with self._cursors.coming:
            free = self._untouched(segment) and self._cursors.may_thin(segment)
            if free:
                self._disk.rename(fresh, copy.path)
                self._disk.sync_dir(copy.path.parent)
                self._catalog.replace(segment, copy)
        self._disk.unlink(segment.path if free else fresh)
        self._disk.sync_dir(copy.path.parent)
        if free:
            self._cache.drop(segment.path)
            self._told.happened(
                SEGMENT_THINNED,
                {
                    "stream": segment.stream.value,
                    "segment": copy.path.name,
                    "bucket_s": made.level_s,
                    "samples": copy.summary.thinned - segment.summary.thinned,
                },
            )

    def _untouched(self, segment: Segment) -> bool:
        """Whether the segment is still there, and nobody has found damage in it."""
        there = segment in self._catalog.segments(segment.stream)
        head = segment.header
        before = Position(head.stream, head.epoch, head.first_seq - 1)
        return there and not self._catalog.damaged(before, segment.last)

    # --- dropping ---------------------------------------------------------------------------------

    def drop(self, drops: Sequence[retention.Drop]) -> None:
        """Remove segments, oldest first. OSError if the disk refuses, NoRoom as `relieve`.

        For each segment: cursors durable, gap durable, then unlink. A crash in between leaves a gap
        whose segment the next start removes.
        """
        if not drops:
            return
        dropping = [(self._segment(d.held), d.cause) for d in drops]
        self._save()
        with self._cursors.coming:
            self._account_for(dropping)
            for segment, _ in dropping:
                self._catalog.drop(segment)
        for segment, cause in dropping:
            self._disk.unlink(segment.path)
            self._disk.sync_dir(segment.path.parent)
            self._cache.drop(segment.path)
            self._told.happened(
                SEGMENT_DROPPED,
                {
                    "stream": segment.stream.value,
                    "segment": segment.path.name,
                    "cause": cause.name,
                },
            )

    def _save(self) -> None:
        """Have the cursor files say what they can: by them it is judged what was passed."""
        try:
            self._cursors.save()
        except OSError as error:  # then they lag behind, and more counts as not passed
            if not no_space(error):
                raise

    def _account_for(self, dropping: Sequence[tuple[Segment, GapCause]]) -> None:
        """Name by gaps what some consumer has not passed, and make that durable.

        A gap that goes with its segment before everybody has read it is said again. What is said
        is joined with all that is still there and touches it: a long outage leaves one gap that
        grows, not one for each segment, each of which would have to be said again for ever.
        """
        gaps: dict[Stream, list[Gap]] = {}
        going, dropped = {segment for segment, _ in dropping}, 0
        for segment, cause in dropping:
            behind = self._slowest(segment)
            if behind is not None:
                again = [named.gap for named in segment.summary.gaps if named.at > behind]
                fresh = self._undelivered(segment, behind, cause)
                dropped += fresh.samples or 0
                gaps.setdefault(segment.stream, []).extend([*again, fresh])
        untold = {
            stream: [
                gap
                for gap in retention.merged([*named, *self._there(stream, going)])
                if not self._catalog.covered(
                    stream, gap.epoch, gap.seq_from, gap.seq_to, without=going
                )
            ]
            for stream, named in gaps.items()
        }
        entries = {s: [gap_entry(s, gap) for gap in named] for s, named in untold.items()}
        for stream, mine in entries.items():
            if mine:
                self._logs[stream].reserve(mine)
        for stream, mine in entries.items():
            for gap, entry in zip(untold[stream], mine, strict=True):
                self._logs[stream].append(entry)
                # Each before the next, oldest first: a start that finds a segment named takes all
                # that is older for named or passed, and finishes what a power cut interrupted.
                self._logs[stream].sync()
                self._tell_lost(stream, gap)
        self.dropped_samples += dropped
        if gaps:
            self._told.durable(())

    def _there(self, stream: Stream, going: Container[Segment]) -> list[Gap]:
        """Give the gaps that retention has written and that stay for now."""
        causes = (GapCause.RETENTION_BYTES, GapCause.RETENTION_AGE)
        return [
            named.gap
            for segment in self._catalog.segments(stream)
            if segment not in going
            for named in segment.summary.gaps
            if named.gap.cause in causes
        ]

    def _slowest(self, segment: Segment) -> int | None:
        """Give the last seq of the segment that every consumer has passed; None if that is all.

        It is below the segment's first if some consumer has not come so far, or if there is none
        yet that delivers: the first one to come is told what it missed.
        """
        all_ = self._cursors.all()
        there = any(cursor.delivers for cursor in all_)
        places = [cursor.passed(segment.stream) for cursor in all_ if there]
        slowest = min(places, default=Position(segment.stream, 0, 0))
        if slowest >= segment.last:
            return None
        return slowest.seq if slowest >= segment.first else segment.header.first_seq - 1

    def _undelivered(self, segment: Segment, behind: int, cause: GapCause) -> Gap:
        """Give the gap for a segment's records behind the seq `behind`.

        It takes over the samples of gap records among them that never had a position.
        """
        head, summary = segment.header, segment.summary
        rows = self._cache.load(segment)
        rows = rows[rows["step"].astype(np.int64) > behind - head.first_seq]
        samples = int((rows["samples"] + rows["thinned"]).sum())
        told = self._catalog.damaged(Position(head.stream, head.epoch, behind), segment.last)
        for row in rows[rows["thinned"] > 0] if told else ():
            if (head.epoch, head.first_seq + int(row["step"])) in told:
                samples -= int(row["thinned"])
        return Gap(
            cause=cause,
            time_from_ns=summary.time_min_ns,
            time_to_ns=summary.time_max_ns,
            samples=samples - sum(told.values()),
            epoch=head.epoch,
            seq_from=behind + 1,
            seq_to=summary.last_seq,
        )

    def _tell_lost(self, stream: Stream, gap: Gap) -> None:
        self._told.happened(DATA_LOST, lost(stream, gap))


def lost(stream: Stream, gap: Gap) -> dict[str, object]:
    """Give what is told of a gap that names positions."""
    return {
        "cause": gap.cause.name,
        "stream": stream.value,
        "seq_from": gap.seq_from,
        "seq_to": gap.seq_to,
        "samples": gap.samples,
    }
