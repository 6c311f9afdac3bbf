"""What a start finds on disk, and what must be written before anything else.

Owns the reading of a directory after an orderly stop, a crash, a power cut or damage: headers and
footers, payloads only where a footer is missing. Never refuses damage and never deletes a record;
what cannot be read is accounted for by a gap. Must not know the writer.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forebay.events import DATA_LOST, JOURNAL_RECOVERED, SEGMENT_DROPPED
from forebay.journal.appender import FRESH_SUFFIX, End
from forebay.journal.catalog import Segment
from forebay.journal.entry import Damage, gap_entry
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import crc32c
from forebay.journal.record import decode_header as decode_record_header
from forebay.journal.salvage import Scan, read_whole, reseal, scan
from forebay.journal.segment import (
    HEADER_BYTES,
    TRAILER_BYTES,
    SegmentHeader,
    Summary,
    Totals,
    batch_samples,
    decode_header,
    decode_index,
    decode_sections,
    decode_trailer,
    own_counts,
    parse_name,
)
from forebay.model import Gap, GapCause, Position, RecordKind, Stream

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.events import Event
    from forebay.files import DiskFile
    from forebay.interfaces import Seams
    from forebay.journal.catalog import Catalog, IndexCache
    from forebay.journal.entry import Entry

BAD_SUFFIX = ".bad"
"""A segment in which no record can be read; kept for people, never read again."""
RETENTION_CAUSES = frozenset({GapCause.RETENTION_BYTES, GapCause.RETENTION_AGE})
_EPOCH_COUNTER_MAX = (1 << 15) - 1


@dataclass(slots=True)
class Recovered:
    """The outcome: where each stream goes on, which gaps to append first, what to tell."""

    ends: dict[Stream, End] = field(default_factory=dict)
    gaps: list[Entry] = field(default_factory=list)
    events: list[tuple[Event, dict[str, object]]] = field(default_factory=list)


@dataclass(slots=True)
class _StreamState:
    """What the walk over one stream's files has found so far."""

    stream: Stream
    unclean: bool = False
    fresh_epoch: bool = False
    last_written_ns: int = 0
    end: End | None = None


class Recovery:
    """One start. `run` blocks; OSError if the disk refuses anything but bytes it has lost."""

    def __init__(
        self,
        directory: Path,
        seams: Seams,
        catalog: Catalog,
        cache: IndexCache,
        *,
        known_epoch: int,
    ) -> None:
        """Fill `catalog`, still empty, from `directory`.

        `known_epoch` is the newest that anything else remembers: new ones will be younger.
        """
        self._directory, self._disk, self._clock = directory, seams.disk, seams.clock
        self._rng, self._catalog, self._cache = seams.rng, catalog, cache
        self._out = Recovered()
        self._epoch_counter = known_epoch >> 48

    def run(self) -> Recovered:
        """Read everything, mend what can be mended, and say what is left to do."""
        states = [self._stream(stream) for stream in Stream]
        for state in states:
            if state.end is None or state.fresh_epoch:
                totals = state.end.totals if state.end else Totals()
                state.end = End(self._new_epoch(), 1, totals)
            self._out.ends[state.stream] = state.end
            if state.unclean:
                self._unclean(state)
            self._holes(state.stream)
            self._finish_drops(state.stream)
            self._known_damage(state.stream)
        self._load_schemas()
        return self._out

    def _new_epoch(self) -> int:
        """Give an epoch younger than all that were seen."""
        self._epoch_counter = min(self._epoch_counter + 1, _EPOCH_COUNTER_MAX)
        return (self._epoch_counter << 48) | self._rng.getrandbits(48)

    def _stream(self, stream: Stream) -> _StreamState:
        """Take in all of one stream's files, oldest first."""
        state = _StreamState(stream)
        directory = self._directory / stream.value
        names = self._disk.listdir(directory) if self._disk.exists(directory) else []
        found = []
        for name in names:
            place = parse_name(name.removesuffix(BAD_SUFFIX))
            if place is not None:
                self._epoch_counter = max(self._epoch_counter, place[0] >> 48)
            if name.endswith(FRESH_SUFFIX):
                self._disk.unlink(directory / name)
            elif parse_name(name) is not None:
                found.append(name)
        for name in found:
            self._file(state, directory / name, newest=name == found[-1])
        return state

    def _file(self, state: _StreamState, path: Path, *, newest: bool) -> None:
        """Take in one segment file: by its footer if that is whole, else record by record."""
        file = self._disk.open(path)
        try:
            segment = self._sealed(file, path)
            data, unreadable = (b"", False) if segment else read_whole(file)
        finally:
            file.close()
        if segment is None:
            segment = self._finish_seal(path, data)
        if segment is None:
            self._salvage(state, path, data, newest=newest, unreadable=unreadable)
            return
        state.unclean = not segment.summary.clean
        state.fresh_epoch = False
        self._accept(state, segment)

    def _accept(self, state: _StreamState, segment: Segment) -> None:
        summary = segment.summary
        self._catalog.add(segment)
        state.last_written_ns = max(summary.time_max_ns, segment.header.created_ns)
        state.end = End(segment.header.epoch, summary.last_seq + 1, summary.after, summary.chain)

    def _sealed(self, file: DiskFile, path: Path) -> Segment | None:
        """Read header, trailer, schemas and gaps; None unless all of them are whole."""
        try:
            size = file.size()
            header = decode_header(file.pread(HEADER_BYTES, 0))
            tail = decode_trailer(file.pread(TRAILER_BYTES, max(0, size - TRAILER_BYTES)), size)
            if header is None or tail is None:
                return None
            summary = decode_sections(tail, file.pread(tail.sections_bytes, tail.sections_offset))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None
        named = parse_name(path.name) == (header.epoch, header.first_seq, header.revision)
        return Segment(path, header, summary) if summary and summary.count and named else None

    def _finish_seal(self, path: Path, data: bytes) -> Segment | None:
        """Cut a file to size whose footer is whole: the power went in the middle of sealing."""
        size = len(data.rstrip(b"\0"))
        header = decode_header(data)
        tail = decode_trailer(data[max(0, size - TRAILER_BYTES) : size], size)
        if header is None or tail is None or size == len(data):
            return None
        sections = data[tail.sections_offset :][: tail.sections_bytes]
        summary = decode_sections(tail, sections)
        index = decode_index(tail, data[tail.index_offset :][: tail.index_bytes])
        if summary is None or index is None or not summary.count:
            return None
        file = self._disk.open(path, write=True)
        try:
            file.truncate(size)
            file.datasync()
        finally:
            file.close()
        return Segment(path, header, summary)

    def _salvage(
        self, state: _StreamState, path: Path, data: bytes, *, newest: bool, unreadable: bool
    ) -> None:
        """Index what records can be read; set the file aside if there is none."""
        state.unclean = True
        header = decode_header(data) or self._header_by_neighbours(state, path)
        found = scan(data, header)
        dirty = found.dirty or unreadable
        if dirty or not found.complete:
            self._out.events.append(
                (JOURNAL_RECOVERED, {"stream": state.stream.value, "segment": path.name})
            )
        if not found.summary.count:
            self._set_aside(state, path, header, blank=not dirty, newest=newest)
            return
        segment = Segment(path, header, reseal(self._disk, path, found, self._clock))
        self._accept(state, segment)
        if newest:
            state.fresh_epoch = dirty
            self._torn(state, found, segment.summary)

    def _header_by_neighbours(self, state: _StreamState, path: Path) -> SegmentHeader:
        """Give what a destroyed header must have said: the name and the segment before tell it."""
        place = parse_name(path.name)
        assert place is not None
        before = state.end or End(0, 0)
        return SegmentHeader(
            state.stream,
            place.epoch,
            place.first_seq,
            0,
            before.totals,
            before.chain,
            revision=place.revision,
        )

    def _set_aside(
        self, state: _StreamState, path: Path, header: SegmentHeader, *, blank: bool, newest: bool
    ) -> None:
        """Handle a file without any record.

        A blank one was made and never filled: the next segment takes its name. Anything else had
        records: its numbers are not used again.
        """
        if blank and newest:
            before = self._catalog.segments(state.stream)[-1:]
            if before and before[0].header.epoch != header.epoch:
                self._tail(before[0], header.before)
            state.end = End(header.epoch, header.first_seq, header.before, header.chain)
            state.last_written_ns = max(state.last_written_ns, header.created_ns)
            return
        self._disk.rename(path, path.with_name(path.name + BAD_SUFFIX))
        self._disk.sync_dir(path.parent)
        state.fresh_epoch = True
        if state.end is None:
            state.end = End(header.epoch, header.first_seq, header.before, header.chain)

    def _torn(self, state: _StreamState, found: Scan, summary: Summary) -> None:
        """Account for the last record if its header is whole and its payload is not.

        It was being written, or it was durable and is damaged since. Either way its number is
        spent, and its samples count.
        """
        torn, end = found.torn, state.end
        if torn is None or end is None:
            return
        is_gap = torn.kind == RecordKind.GAP
        totals = end.totals._replace(
            counted=torn.counted + torn.own,
            missing=torn.missing + (torn.samples if is_gap else 0),
        )
        damage = Damage(
            state.stream,
            torn.epoch,
            summary.last_seq + 1,
            torn.seq,
            totals.counted - end.totals.counted,
            torn.time_min_ns,
            torn.time_max_ns,
        )
        self._gap(damage, GapCause.UNCLEAN_SHUTDOWN)
        state.end = End(end.epoch, end.next_seq, totals)

    def _unclean(self, state: _StreamState) -> None:
        """Say that what was accepted and not yet durable is lost, nobody knows how much."""
        now_ns = self._clock.now_ns()
        since_ns = min(state.last_written_ns, now_ns)
        gap = Gap(GapCause.UNCLEAN_SHUTDOWN, since_ns, now_ns, None)
        self._out.gaps.append(gap_entry(state.stream, gap))
        self._out.events.append(
            (DATA_LOST, {"cause": gap.cause.name, "stream": state.stream.value})
        )

    def _gap(self, damage: Damage, cause: GapCause) -> None:
        """Append a gap, unless one in the journal says it already."""
        if self._catalog.covered(damage.stream, damage.epoch, damage.seq_from, damage.seq_to):
            return
        self._out.gaps.append(gap_entry(damage.stream, damage.gap(cause)))
        self._out.events.append(
            (
                DATA_LOST,
                {
                    "cause": cause.name,
                    "stream": damage.stream.value,
                    "seq_from": damage.seq_from,
                    "seq_to": damage.seq_to,
                    "samples": damage.samples,
                },
            )
        )

    def _holes(self, stream: Stream) -> None:
        """Account for positions that no segment has, between the segments and inside them."""
        before: Segment | None = None
        for segment in self._catalog.segments(stream):
            head, summary = segment.header, segment.summary
            if before is not None and before.header.epoch == head.epoch:
                last, after = before.summary.last_seq, before.summary.after
                self._hole(segment, last + 1, head.first_seq, head.before.counted - after.counted)
            elif before is not None:
                self._tail(before, head.before)
            if summary.last_seq - head.first_seq + 1 > summary.count:
                due, counted = head.first_seq, head.before.counted
                rows = self._cache.load(segment)
                for row, own in zip(rows, own_counts(rows).tolist(), strict=True):
                    seq, until = head.first_seq + int(row["step"]), int(row["counted"])
                    self._hole(segment, due, seq, until - counted)
                    due, counted = seq + 1, until + own
            before = segment

    def _tail(self, last: Segment, totals: Totals) -> None:
        """Account for the torn end of an epoch, where `totals` stand before the next one's records.

        The start that found it began the new epoch, but the power went before its gap was durable.
        """
        head, summary = last.header, last.summary
        samples = totals.counted - summary.after.counted
        if samples > 0:
            seq, times = summary.last_seq + 1, (summary.time_min_ns, summary.time_max_ns)
            damage = Damage(last.stream, head.epoch, seq, seq, samples, *times)
            self._gap(damage, GapCause.UNCLEAN_SHUTDOWN)

    def _hole(self, segment: Segment, due: int, seq: int, samples: int) -> None:
        """Account for the seqs from `due` up to the one before `seq`, if there are any."""
        if due < seq:
            times = segment.summary.time_min_ns, segment.summary.time_max_ns
            place = (segment.stream, segment.header.epoch)
            self._gap(Damage(*place, due, seq - 1, max(0, samples), *times), GapCause.CORRUPT)

    def _finish_drops(self, stream: Stream) -> None:
        """Remove segments for which retention had written the gap when it was interrupted.

        It goes from the oldest on, so what is older than such a segment was passed by everybody.
        """
        gaps = [g for g in self._catalog.gaps(stream) if g.gap.cause in RETENTION_CAUSES]
        segments = self._catalog.segments(stream)[:-1]
        covered = [
            number
            for number, segment in enumerate(segments, start=1)
            if any(g.covers(*segment.last[1:], segment.summary.last_seq) for g in gaps)
        ]
        for segment in segments[: max(covered, default=0)]:
            self._disk.unlink(segment.path)
            self._disk.sync_dir(segment.path.parent)
            self._catalog.drop(segment)
            self._out.events.append(
                (SEGMENT_DROPPED, {"stream": stream.value, "segment": segment.path.name})
            )

    def _known_damage(self, stream: Stream) -> None:
        """Remember which indexed records an earlier run has found damaged and accounted for."""
        corrupt = [g.gap for g in self._catalog.gaps(stream) if g.gap.cause is GapCause.CORRUPT]
        unread: dict[Segment, int] = {}
        for gap in corrupt:
            for segment in self._catalog.segments(stream):
                first = segment.header.first_seq
                within = gap.seq_from <= segment.summary.last_seq and gap.seq_to >= first
                if segment.header.epoch != gap.epoch or not within:
                    continue
                rows = self._cache.load(segment)
                steps = rows["step"].astype(np.int64) + first
                for row in rows[(steps >= gap.seq_from) & (steps <= gap.seq_to)]:
                    position = Position(stream, gap.epoch, first + int(row["step"]))
                    is_batch = row["kind"] == RecordKind.BATCH
                    self._catalog.mark_damaged(position, int(row["samples"]) if is_batch else 0)
                if len(rows) < segment.summary.count and gap.seq_from not in steps:
                    # Sealed with it, but since then neither the index nor the record can be read.
                    position = Position(stream, gap.epoch, gap.seq_from)
                    left = unread.setdefault(segment, segment.summary.samples - batch_samples(rows))
                    samples = min(left, gap.samples or 0)
                    unread[segment] -= samples
                    self._catalog.mark_damaged(position, samples)

    def _load_schemas(self) -> None:
        """Read each live schema once, from the newest segment that still gives it back."""
        for stream in Stream:
            for segment in reversed(self._catalog.segments(stream)):
                wanted = segment.summary.schemas.keys() - self._catalog.schemas.keys()
                if not wanted:
                    continue
                file = self._disk.open(segment.path)
                try:
                    for schema_id in wanted:
                        payload = _payload(file, *segment.summary.schemas[schema_id])
                        if payload is not None:
                            self._catalog.schemas[schema_id] = payload
                finally:
                    file.close()


def _payload(file: DiskFile, offset: int, length: int) -> bytes | None:
    """Read one record's payload; None if it is damaged."""
    try:
        data = file.pread(RECORD_HEADER_BYTES + length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None
    header = decode_record_header(data, 0, offset)
    payload = data[RECORD_HEADER_BYTES:]
    return payload if header and len(payload) == length and crc32c(payload) == header.crc else None
