"""Reading records back: durable ones, in order, each checked.

Owns the way from a position to records. Runs on reader threads; opens files for one call at a time,
so retention never waits for a reader. Must not know cursors or the writer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.journal.entry import Damage
from forebay.journal.record import (
    HEADER_BYTES,
    NO_CHAIN,
    crc32c,
    decode_header,
    next_chain,
    record_bytes,
    to_record,
)
from forebay.journal.segment import batch_samples, own_counts
from forebay.model import Position, Record, RecordKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.files import Disk, DiskFile
    from forebay.journal.catalog import Catalog, IndexCache, Segment
    from forebay.journal.segment import Summary


Begin = Callable[["Segment"], bool]
"""Hears that records of a segment are about to be given; False if the segment has gone."""


@dataclass(slots=True)
class Found:
    """What a read brought: records in order, and indexed ones that were found damaged just now."""

    records: list[Record] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    payload_bytes: int = 0


class Reader:
    """Reads from all segments. Safe for all threads."""

    def __init__(self, disk: Disk, catalog: Catalog, cache: IndexCache) -> None:
        """Read what `catalog` names from `disk`."""
        self._disk, self._catalog, self._cache = disk, catalog, cache

    def read(self, after: Position, max_bytes: int, begin: Begin | None = None) -> Found:
        """Give durable records strictly after `after`.

        Stops when the payloads reach `max_bytes`, but not before the first record. `begin` is asked
        before each segment. Blocks. OSError if the disk refuses more than single records.
        """
        found = Found()
        while not self._walk(after, max_bytes, found, begin) and not (
            found.records or found.damage
        ):
            pass  # a segment was dropped or thinned under way: the catalog names another one now
        return found

    def _walk(self, after: Position, max_bytes: int, found: Found, begin: Begin | None) -> bool:
        """Read from segment to segment; False if one went away before it could be read."""
        for segment, summary in self._catalog.view(after.stream).segments:
            if segment.last <= after:
                continue
            if begin is not None and not begin(segment):
                return False
            try:
                rows = self._cache.load(segment)
                if len(rows) < summary.count:
                    self._report_holes(segment, rows, found)
                self._segment(segment, _behind(segment, rows, after), max_bytes, found)
            except FileNotFoundError:
                if segment not in self._catalog.segments(after.stream):
                    return False  # retention was faster; what it dropped is accounted for
                if not segment.sealed:
                    raise
                self._report_gone(segment, found)
            if found.payload_bytes >= max_bytes:
                break
        return True

    def _segment(self, segment: Segment, rows: NDArray[Any], max_bytes: int, found: Found) -> None:
        """Read from one segment until the budget is spent or `rows` are."""
        if not len(rows):
            return
        file = self._disk.open(segment.path)
        try:
            while len(rows) and found.payload_bytes < max_bytes:
                ends = np.cumsum(rows["length"], dtype=np.int64)
                budget = max_bytes - found.payload_bytes
                count = int(np.searchsorted(ends, budget, side="right"))
                if not count and found.records:
                    found.payload_bytes = max_bytes
                    return
                count = max(1, count)
                self._run(file, segment, rows[:count], found)
                rows = rows[count:]
        finally:
            file.close()

    def _run(self, file: DiskFile, segment: Segment, rows: NDArray[Any], found: Found) -> None:
        """Read adjacent records with one call, or one by one where the medium fails."""
        begin = int(rows[0]["offset"])
        end = int(rows[-1]["offset"]) + record_bytes(int(rows[-1]["length"]))
        data = _pread(file, end - begin, begin)
        for row in rows:
            offset, length = int(row["offset"]), int(row["length"])
            if data is None:
                piece, at = _pread(file, record_bytes(length), offset) or b"", 0
            else:
                piece, at = data, offset - begin
            record = self._record(piece, at, segment, row)
            if record is not None:
                found.records.append(record)
                found.payload_bytes += length
            else:
                self._report(segment, row, found)

    def _record(self, data: bytes, at: int, segment: Segment, row: np.void) -> Record | None:
        """Decode one record; None unless it is whole and the very one that the index names."""
        header = decode_header(data, at, int(row["offset"]))
        seq = segment.header.first_seq + int(row["step"])
        if header is None or (header.epoch, header.seq) != (segment.header.epoch, seq):
            return None
        payload = data[at + HEADER_BYTES : at + HEADER_BYTES + header.length]
        if len(payload) != header.length or crc32c(payload) != header.crc:
            return None
        return to_record(header, payload)

    def _report(self, segment: Segment, row: np.void, found: Found) -> None:
        """Note a damaged record, unless it is known."""
        head = segment.header
        seq = head.first_seq + int(row["step"])
        if self._catalog.is_damaged(Position(head.stream, head.epoch, seq)):
            return
        is_batch = row["kind"] == RecordKind.BATCH
        samples, thinned = (int(row["samples"]), int(row["thinned"])) if is_batch else (0, 0)
        times = int(row["time_min_ns"]), int(row["time_max_ns"])
        found.damage.append(Damage(head.stream, head.epoch, seq, seq, samples, *times, thinned))

    def _report_holes(self, segment: Segment, rows: NDArray[Any], found: Found) -> None:
        """Note what a rebuilt index lacks: records damaged since the segment was sealed.

        How many samples of a hole thinning had taken before is known for all holes together only.
        """
        head, summary = segment.header, segment.summary
        own = rows["counted"].astype(np.int64) + own_counts(rows)
        begins = [*rows["step"].tolist(), summary.last_seq - head.first_seq + 1]
        ends = [-1, *rows["step"].tolist()]
        counted = [*rows["counted"].tolist(), summary.after.counted]
        reached = [head.before.counted, *own.tolist()]
        times = summary.time_min_ns, summary.time_max_ns
        left = summary.samples - batch_samples(rows)
        for before, after, low, high in zip(ends, begins, reached, counted, strict=True):
            place = (head.epoch, head.first_seq + before + 1, head.first_seq + after - 1)
            if after - before <= 1:
                continue
            first = max(0, high - low)
            samples = min(left, first)
            left -= samples
            if not self._catalog.covered(head.stream, *place):
                thinned = first - samples
                found.damage.append(Damage(head.stream, *place, samples, *times, thinned))

    def _report_gone(self, segment: Segment, found: Found) -> None:
        """Note a sealed segment whose file somebody took away."""
        head, summary = segment.header, segment.summary
        place = (head.epoch, head.first_seq, summary.last_seq)
        if not self._catalog.covered(head.stream, *place):
            times = summary.time_min_ns, summary.time_max_ns
            counts = (summary.samples, *times, summary.thinned)
            found.damage.append(Damage(head.stream, *place, *counts))

    def chain(self, position: Position, since: tuple[Position, bytes] | None) -> bytes | None:
        """Give the hash chain at `position`; see `Journal.chain`. Blocks. OSError as `read`."""
        while True:
            before = self._catalog.segments(position.stream)
            chain = self._chain(position, since)
            if chain is not None or self._catalog.segments(position.stream) == before:
                return chain

    def _chain(self, position: Position, since: tuple[Position, bytes] | None) -> bytes | None:
        """Give the chain; None too if a segment went away under way."""
        segments = [
            (segment, summary)
            for segment, summary in self._catalog.view(position.stream).segments
            if segment.header.epoch == position.epoch
        ]
        begin, chain = (0, NO_CHAIN) if since is None else (since[0].seq, since[1])
        if not _dense(segments, begin, position.seq) or self._named(position, begin):
            return None
        for segment, summary in segments:
            if since is None and segment.first.seq <= position.seq <= summary.last_seq:
                begin, chain = segment.first.seq - 1, segment.header.chain
        for segment, summary in segments:
            first, last = max(begin + 1, segment.first.seq), min(position.seq, summary.last_seq)
            hashes = self._hashes(segment, first, last) if first <= last else []
            for payload_hash in hashes:
                chain = next_chain(chain, payload_hash)
            if len(hashes) != max(0, last - first + 1):
                return None
        return chain

    def _named(self, position: Position, begin: int) -> bool:
        """Whether a gap names any position behind the seq `begin` up to `position`."""
        return any(
            gap.gap.epoch == position.epoch
            and gap.gap.seq_to > begin
            and gap.gap.seq_from <= position.seq
            for gap in self._catalog.gaps(position.stream)
        )

    def _hashes(self, segment: Segment, first: int, last: int) -> list[bytes]:
        """Read the payload hashes of the records `first..last`; fewer if one is damaged or gone."""
        found: list[bytes] = []
        try:
            rows = self._cache.load(segment)
            steps = rows["step"].astype(np.int64) + segment.header.first_seq
            file = self._disk.open(segment.path)
        except FileNotFoundError:
            return found
        try:
            for row in rows[(steps >= first) & (steps <= last)]:
                offset = int(row["offset"])
                header = decode_header(_pread(file, HEADER_BYTES, offset) or b"", 0, offset)
                if header is not None:
                    found.append(header.hash)
        finally:
            file.close()
        return found


def _dense(segments: Sequence[tuple[Segment, Summary]], begin: int, end: int) -> bool:
    """Whether these segments hold every seq behind `begin` up to `end`."""
    due = begin + 1
    for segment, summary in segments:
        if summary.last_seq < due:
            continue
        whole = summary.last_seq - segment.header.first_seq + 1 == summary.count
        if segment.header.first_seq > due or not whole:
            break
        due = summary.last_seq + 1
    return due > end


def _behind(segment: Segment, rows: NDArray[Any], after: Position) -> NDArray[Any]:
    """Give the rows of records behind `after`."""
    if segment.first > after:
        return rows
    step = after.seq - segment.header.first_seq
    return rows[int(np.searchsorted(rows["step"], step, side="right")) :]


def _pread(file: DiskFile, size: int, offset: int) -> bytes | None:
    """Read, or give None if the medium fails."""
    try:
        return file.pread(size, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None
