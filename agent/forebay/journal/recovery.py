"""What a start finds on disk, and what must be written before anything else.

Owns the reading of a directory after an orderly stop, a crash, a power cut or damage: headers and
footers, payloads only where a footer is missing. Never refuses damage and never deletes a record;
what cannot be read is accounted for by a gap. Must not know the writer.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.events import JOURNAL_RECOVERED, SEGMENT_DROPPED
from forebay.files import no_space
from forebay.journal.appender import FRESH_SUFFIX, End
from forebay.journal.catalog import Segment
from forebay.journal.epochs import Epochs
from forebay.journal.losses import Losses, Place, Proof
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import NO_CHAIN, crc32c
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
    parse_name,
)
from forebay.model import GapCause, Position, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.events import Event
    from forebay.files import DiskFile
    from forebay.interfaces import Seams
    from forebay.journal import ledger
    from forebay.journal.ballast import Ballast
    from forebay.journal.catalog import Catalog, IndexCache
    from forebay.journal.entry import Entry
    from forebay.journal.record import RecordHeader
    from forebay.journal.tip import Tips

BAD_SUFFIX = ".bad"
"""A segment in which no record can be read; kept for people, never read again."""
RETENTION_CAUSES = frozenset({GapCause.RETENTION_BYTES, GapCause.RETENTION_AGE})


@dataclass(slots=True)
class Recovered:
    """The outcome: where each stream goes on, which gaps to append first, what to tell.

    `obsolete` are files without a record that may go once the gaps are durable.
    """

    epochs: Epochs
    ends: dict[Stream, End]
    gaps: list[Entry]
    events: list[tuple[Event, dict[str, object]]]
    obsolete: list[Path]


@dataclass(slots=True)
class _StreamState:
    """What the walk over one stream's files has found so far.

    `last` is the last readable record; `proofs` show what may have stood behind it.
    """

    stream: Stream
    unclean: bool = False
    last_written_ns: int = 0
    last: Place = field(default_factory=Place)
    proofs: list[Proof] = field(default_factory=list)


class Recovery:
    """One start. `run` blocks; OSError if the disk refuses anything but bytes it has lost."""

    def __init__(
        self,
        directory: Path,
        seams: Seams,
        catalog: Catalog,
        cache: IndexCache,
        ballast: Ballast,
        *,
        known_epoch: int,
        furthest: Mapping[Stream, ledger.Place],
        tips: Tips | None,
    ) -> None:
        """Fill `catalog`, still empty, from `directory`.

        `ballast` is given up where a full disk would leave no room for a footer. `known_epoch` is
        the newest that cursors remember: new ones will be younger. `furthest` is where the
        furthest consumer of each stream is, as the files say. `tips` say how far each stream was on
        disk.
        """
        self._directory, self._disk, self._clock = directory, seams.disk, seams.clock
        self._rng, self._catalog, self._cache = seams.rng, catalog, cache
        self._ballast, self._furthest = ballast, furthest
        self._losses = Losses(catalog, cache, seams.clock)
        self._events: list[tuple[Event, dict[str, object]]] = []
        self._obsolete: list[Path] = []
        self._tips = tips
        self._newest_epoch = max(
            [known_epoch, *(tip.epoch for tip in tips.streams.values())] if tips else [known_epoch]
        )

    def run(self) -> Recovered:
        """Read everything, mend what can be mended, and say what is left to do."""
        states = [self._stream(stream) for stream in Stream]
        epochs = Epochs(self._rng, self._newest_epoch)
        epoch = epochs.next()
        ends = {}
        for state in states:
            self._witness(state)
            totals = self._losses.behind(state.stream, state.last, state.proofs)
            ends[state.stream] = End(epoch, 1, totals)
            if state.unclean:
                self._losses.unclean(state.stream, state.last_written_ns)
            self._losses.before(state.stream, self._furthest.get(state.stream))
            self._losses.between(state.stream)
            self._finish_drops(state.stream)
            self._known_damage(state.stream)
        self._load_schemas()
        events = [*self._events, *self._losses.events]
        return Recovered(epochs, ends, self._losses.gaps, events, self._obsolete)

    def _witness(self, state: _StreamState) -> None:
        """Hear the tip: what it names was durable, so behind the last record it proves a loss.

        If the run that wrote it stopped in order, nothing was lost that had not been durable.
        """
        tip = self._tips.streams.get(state.stream) if self._tips else None
        if self._tips is None or tip is None or tip[:2] <= state.last[:2]:
            return
        totals = Totals(tip.counted, tip.missing, tip.records)
        since_ns = min(state.last_written_ns or self._tips.written_ns, self._tips.written_ns)
        proof = Proof(
            Place(tip.epoch, tip.seq, totals), GapCause.CORRUPT, since_ns, self._tips.written_ns
        )
        state.proofs.insert(0, proof)  # of two that name the same record this one knows more
        state.unclean = not self._tips.orderly

    def _stream(self, stream: Stream) -> _StreamState:
        """Take in all of one stream's files, oldest first."""
        state = _StreamState(stream)
        directory = self._directory / stream.value
        names = self._disk.files(directory) if self._disk.exists(directory) else []
        found = []
        for name in names:
            place = parse_name(name.removesuffix(BAD_SUFFIX).removesuffix(FRESH_SUFFIX))
            if place is not None:
                self._newest_epoch = max(self._newest_epoch, place.epoch)
            if name.endswith(FRESH_SUFFIX):
                self._disk.unlink(directory / name)
            elif parse_name(name) is not None:
                found.append(name)
        for name in self._taken(directory, found):
            self._file(state, directory / name)
        return state

    def _taken(self, directory: Path, names: list[str]) -> list[str]:
        """Give the file to take of each segment.

        There are several only where the power went while a thinner copy took its segment's place:
        the copy counts if it is whole.
        """
        taken: dict[tuple[int, int], str] = {}
        for name in sorted(names, key=parse_name):  # type: ignore[arg-type]
            place = parse_name(name)
            assert place is not None
            before = taken.get(place[:2])
            if before is None or self._whole(directory / name):
                taken[place[:2]] = name
                gone = before
            else:
                self._disk.rename(directory / name, directory / (name + BAD_SUFFIX))
                gone = None
            if gone is not None:
                self._disk.unlink(directory / gone)
            if before is not None:
                self._disk.sync_dir(directory)
        return list(taken.values())

    def _whole(self, path: Path) -> bool:
        """Whether a sealed segment's file and every record in it is whole."""
        file = self._disk.open(path)
        try:
            segment = self._sealed(file, path)
            return segment is not None and (
                scan(read_whole(file)[0], segment.header).summary.count == segment.summary.count
            )
        finally:
            file.close()

    def _file(self, state: _StreamState, path: Path) -> None:
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
            self._salvage(state, path, data, unreadable=unreadable)
            return
        state.unclean = not segment.summary.clean
        self._accept(state, segment)

    def _accept(self, state: _StreamState, segment: Segment) -> None:
        summary = segment.summary
        self._catalog.add(segment)
        state.last_written_ns = max(summary.time_max_ns, segment.header.created_ns)
        state.last = Place(segment.header.epoch, summary.last_seq, summary.after)
        state.proofs.clear()

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

    def _salvage(self, state: _StreamState, path: Path, data: bytes, *, unreadable: bool) -> None:
        """Index what records can be read; set the file aside if there is none."""
        state.unclean = True
        header = decode_header(data)
        found = scan(data, header or self._header_by_neighbours(state, path, data))
        dirty = found.dirty or unreadable
        if dirty or not found.complete:
            self._events.append(
                (JOURNAL_RECOVERED, {"stream": state.stream.value, "segment": path.name})
            )
        if found.summary.count:
            self._accept(state, Segment(path, found.header, self._resealed(path, found)))
        else:
            self._set_aside(state, path, header, blank=not dirty)
        if found.torn is not None:
            self._torn(state, found.torn, found.summary)

    def _resealed(self, path: Path, found: Scan) -> Summary:
        """Put a footer behind the records; on a disk without room for it the file stays as it is.

        Then the next start reads it record by record again.
        """
        while True:
            try:
                return reseal(self._disk, path, found, self._clock)
            except OSError as error:
                if not no_space(error):
                    raise
                if not self._ballast.release():
                    break
        self._cache.put(path, found.rows)
        return replace(found.summary, sealed_ns=max(1, self._clock.now_ns()))

    def _header_by_neighbours(self, state: _StreamState, path: Path, data: bytes) -> SegmentHeader:
        """Give what a destroyed header must have said: the name and the segment before tell it.

        Of the oldest segment its own first record tells what went before, but for the records.
        """
        place = parse_name(path.name)
        assert place is not None
        before = self._catalog.segments(state.stream)[-1:]
        same = before and before[0].header.epoch == place.epoch
        found = SegmentHeader(
            state.stream,
            place.epoch,
            place.first_seq,
            0,
            state.last.totals,
            before[0].summary.chain if same else NO_CHAIN,
            revision=place.revision,
        )
        rows = scan(data, found).rows["offset"].tolist() if not before else []
        first = decode_record_header(data, rows[0], rows[0]) if rows else None
        if first is not None and first.counted > found.before.counted:
            return replace(found, before=Totals(first.counted, first.missing, 0))
        return found

    def _set_aside(
        self, state: _StreamState, path: Path, header: SegmentHeader | None, *, blank: bool
    ) -> None:
        """Handle a file without any record: a blank one was made and never filled.

        Anything else had records. What stood before them its header still proves.
        """
        if header is not None:
            before = Place(header.epoch, header.first_seq - 1, header.before)
            times = header.created_ns, header.created_ns
            state.proofs.append(Proof(before, GapCause.CORRUPT, *times))
            state.last_written_ns = max(state.last_written_ns, header.created_ns)
        if header is not None and blank and header.before.records <= state.last.totals.records:
            self._disk.unlink(path)  # a full disk needs the room, and its header tells nothing new
            self._disk.sync_dir(path.parent)
        elif header is not None and blank:
            self._obsolete.append(path)
        else:
            self._disk.rename(path, path.with_name(path.name + BAD_SUFFIX))
            self._disk.sync_dir(path.parent)

    def _torn(self, state: _StreamState, torn: RecordHeader, before: Summary) -> None:
        """Note a last record whose header is whole and whose payload is not.

        It was being written, or it was durable and is damaged since. Its samples count either way.
        """
        missing = torn.samples if torn.kind == RecordKind.GAP else 0
        records = before.after.records + torn.seq - before.last_seq
        totals = Totals(torn.counted + torn.own, torn.missing + missing, records)
        place = Place(torn.epoch, torn.seq, totals)
        times = torn.time_min_ns, torn.time_max_ns
        state.proofs.append(Proof(place, GapCause.UNCLEAN_SHUTDOWN, *times))

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
            self._events.append(
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
