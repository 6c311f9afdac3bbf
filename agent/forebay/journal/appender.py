"""The growing end of one stream: numbers entries, fills a segment, seals it, opens the next.

Owns the order of writes that recovery relies on (docs/internals/journal.md, Invariants). Runs on
the writer thread only. Must not know queues, futures or retention.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.columnar import decode_gap
from forebay.files import no_space
from forebay.journal.catalog import Segment
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import (
    NO_CHAIN,
    RecordHeader,
    aligned,
    crc32c,
    encode_header,
    next_chain,
    record_bytes,
    sha256,
)
from forebay.journal.segment import (
    HEADER_BYTES,
    INDEX,
    MAX_RECORDS,
    JournaledGap,
    SegmentHeader,
    Summary,
    Totals,
    encode_footer,
    extended,
    file_name,
    footer_bytes,
    index_row,
)
from forebay.journal.segment import encode_header as encode_segment_header
from forebay.model import RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.files import Disk, DiskFile
    from forebay.journal.catalog import Catalog, IndexCache
    from forebay.journal.entry import Entry

FRESH_SUFFIX = ".new"
"""A segment that has no record yet; recovery removes it."""

CRAMPED_BYTES = 256 << 10
"""The size of a segment while the disk is full."""
_PIECES_MAX = 512  # IOV_MAX of Linux is 1024
_BUFFERED_BYTES_MAX = 4 << 20
_FIRST_ROWS = 256
_EARLY_BYTES = 16 << 10  # of smaller ones the hash takes less than the second write
_PAGE_BYTES = 4096


class NoRoom(Exception):
    """The disk has no room for the next segment. Nothing is lost: the same call may be repeated."""


@dataclass(slots=True)
class End:
    """Where a stream's next record goes, and the account and chain before it."""

    epoch: int
    next_seq: int
    totals: Totals = field(default_factory=Totals)
    chain: bytes = NO_CHAIN


class Appender:
    """One stream's end. After any OSError it must not be used again; after NoRoom it may."""

    def __init__(
        self,
        directory: Path,
        stream: Stream,
        end: End,
        segment_bytes: int,
        parts: tuple[Disk, Clock, Catalog, IndexCache],
    ) -> None:
        """Write into `directory`, which is made with the first segment, behind `end`."""
        self._directory, self._stream, self._end = directory, stream, end
        self._segment_bytes, self._number = segment_bytes, stream.number
        self._disk, self._clock, self._catalog, self._cache = parts
        self._file: DiskFile | None = None
        self._segment: Segment | None = None
        self._state: Summary = Summary(0, 0, 0, 0, 0, end.totals, end.chain)
        self._capacity = 0
        self._pieces: list[bytes] = []
        self._pieces_at = self._pieces_bytes = 0
        self._fresh_schemas: dict[int, bytes] = {}
        self._anchor: Entry | None = None
        self.sealed: list[Segment] = []
        """Segments sealed since somebody last emptied this list."""
        self.cramped = False
        """Whether to make small segments, because the disk is full."""

    def append(self, entry: Entry, *, alone: bool = False) -> None:
        """Number `entry` and take it in, its schema before it where the segment has it not yet.

        A new segment begins with the last anchor, so that the rows in it are explained whatever
        became of the segments before. Nothing is durable before `sync`, which comes next if
        `alone`. NoRoom if it was not taken.
        """
        size = record_bytes(len(entry.payload))
        schema = entry.schema
        if schema is not None and schema[0] in self._state.schemas:
            schema = None
        need = size + (record_bytes(len(schema[1])) if schema else 0)
        if self._segment is None or not self._fits(need):
            schema = entry.schema
            need = size + (record_bytes(len(schema[1])) if schema else 0)
            self._roll(need, anchor=None if entry.kind is RecordKind.ANCHOR else self._anchor)
        if schema is not None:
            self._put_schema(schema, entry)
        if entry.kind is RecordKind.GAP:
            self._put_gap(entry)
        else:
            samples = entry.samples if entry.kind is RecordKind.BATCH else 0
            self._put(entry, samples, counted=samples, alone=alone)
        if entry.kind is RecordKind.ANCHOR:
            self._anchor = entry

    def reserve(self, entries: Sequence[Entry]) -> None:
        """Make sure that `entries`, which need no schema, can be appended. NoRoom if they cannot.

        Only for few: they must fit into one segment. On a full disk that has room for nothing else.
        """
        need = sum(record_bytes(len(entry.payload)) for entry in entries)
        if self._segment is None or not self._fits(need, len(entries)):
            self._roll(need, len(entries), least=self.cramped, anchor=self._anchor)

    def sync(self) -> None:
        """Make all that was appended durable and visible."""
        if self._file is None:
            return
        self._write_out()
        self._file.datasync()
        self._publish(self._state)

    def seal(self, *, clean: bool) -> None:
        """Index the active segment, if there is one, cut it to size and make it durable.

        The records come first: a footer must never outlive a power cut that its records do not.
        """
        self.sync()
        if self._file is None or self._segment is None:
            return
        segment, at = self._segment, self._state.end
        rows, now = segment.rows[: self._state.count].copy(), self._clock.read()
        length = footer_bytes(len(rows), len(self._state.schemas), len(self._state.gaps))
        summary = replace(
            self._state,
            clean=clean,
            synced=now.synced,
            sealed_ns=max(1, now.wall_ns),
            file_bytes=at + length,
        )
        self._file.pwrite([encode_footer(rows, summary, at)], at)
        self._file.truncate(summary.file_bytes)
        self._file.datasync()
        self.close()
        self._cache.put(segment.path, rows)
        self._publish(summary)
        segment.rows = np.empty(0, INDEX)
        self._segment = None
        self.sealed.append(segment)

    def begin(self, epoch: int) -> None:
        """Seal, and number what comes from 1 on in `epoch`."""
        self.seal(clean=False)
        self._end = End(epoch, 1, self._end.totals)

    def close(self) -> None:
        """Let go of the file; writes nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _fits(self, need: int, entries: int = 1) -> bool:
        """Whether `need` bytes of some entries and then the footer find room."""
        state = self._state
        count = state.count + 1 + entries
        footer = footer_bytes(count, len(state.schemas) + 1, len(state.gaps) + entries)
        return count <= MAX_RECORDS and state.end + need + footer <= self._capacity

    def _roll(
        self, need: int, entries: int = 1, *, least: bool = False, anchor: Entry | None
    ) -> None:
        """Seal the active segment and open the next, large enough for `need` bytes of entries.

        With `least` no larger than for these and `anchor`, with which it begins. One without any
        record is not sealed: the next takes over its name, and with it its place.
        """
        empty = self._segment if self._state.count == 0 else None
        if empty is None:
            self.seal(clean=False)
        if anchor is not None:
            need, entries = need + record_bytes(len(anchor.payload)), entries + 1
        end = self._end
        header = SegmentHeader(
            self._stream, end.epoch, end.next_seq, self._clock.now_ns(), end.totals, end.chain
        )
        enough = aligned(HEADER_BYTES + need + footer_bytes(1 + entries, 1, entries))
        usual = min(CRAMPED_BYTES, self._segment_bytes) if self.cramped else self._segment_bytes
        capacity = enough if least else max(usual, enough)
        path = self._directory / file_name(end.epoch, end.next_seq)
        try:
            file = self._create(path, header, capacity)
        except OSError as error:
            if not no_space(error):
                raise
            raise NoRoom from error
        self._disk.sync_dir(self._directory)
        self.close()
        self._file, self._capacity = file, capacity
        self._state = Summary(
            last_seq=end.next_seq - 1,
            count=0,
            samples=0,
            end=HEADER_BYTES,
            file_bytes=capacity,
            after=end.totals,
            chain=end.chain,
        )
        self._segment = Segment(path, header, self._state)
        self._segment.rows = np.empty(_FIRST_ROWS, INDEX)
        self._pieces_at, self._pieces_bytes, self._pieces = HEADER_BYTES, 0, []
        if empty is None:
            self._catalog.add(self._segment)
        else:
            self._catalog.replace(empty, self._segment)
        if anchor is not None:
            self._put(anchor, 0)

    def _create(self, path: Path, header: SegmentHeader, capacity: int) -> DiskFile:
        """Make the file, all its blocks and its header durable before it gets its name.

        What an attempt without room has left is removed.
        """
        fresh = path.with_name(path.name + FRESH_SUFFIX)
        self._disk.makedirs(self._directory)
        if self._disk.exists(fresh):
            self._disk.unlink(fresh)
        file = self._disk.open(fresh, create=True)
        try:
            file.allocate(capacity)
            file.pwrite([encode_segment_header(header)], 0)
            file.datasync()
            self._disk.rename(fresh, path)
        except OSError:
            file.close()
            with contextlib.suppress(OSError):
                self._disk.unlink(fresh)
            raise
        return file

    def _put_schema(self, schema: tuple[int, bytes], entry: Entry) -> None:
        schema_id, payload = schema
        place = (self._state.end, len(payload))
        kind = RecordKind.SCHEMA
        self._put(replace(entry, kind=kind, payload=payload, schema=None), 0)
        self._state = replace(self._state, schemas={**self._state.schemas, schema_id: place})
        self._fresh_schemas[schema_id] = payload

    def _put_gap(self, entry: Entry) -> None:
        """A gap whose samples had a position was counted with them; any other counts here."""
        gap = decode_gap(entry.payload)
        if not gap.journaled:
            samples = gap.samples or 0
            self._put(entry, samples, missing=samples)
            return
        named = JournaledGap(self._end.next_seq, gap)
        self._put(entry, 0)
        self._state = replace(self._state, gaps=(*self._state.gaps, named))

    def _put(
        self,
        entry: Entry,
        samples: int,
        *,
        counted: int = 0,
        missing: int = 0,
        alone: bool = False,
    ) -> None:
        """Append one record whose `samples` stand in its header; the rest goes to the totals."""
        end, state, payload = self._end, self._state, entry.payload
        size = record_bytes(len(payload))
        early = alone and len(payload) >= _EARLY_BYTES
        if early:
            self._write_early(payload)
        header = RecordHeader(
            kind=entry.kind,
            stream=self._number,
            revision=0,
            offset=state.end,
            epoch=end.epoch,
            seq=end.next_seq,
            samples=samples,
            thinned=0,
            counted=end.totals.counted,
            missing=end.totals.missing,
            time_min_ns=entry.time_min_ns,
            time_max_ns=entry.time_max_ns,
            length=len(payload),
            crc=crc32c(payload),
            hash=sha256(payload),
        )
        self._pieces.append(encode_header(header))
        if not early:
            self._pieces += [payload, bytes(size - RECORD_HEADER_BYTES - len(payload))]
        self._pieces_bytes += size
        if early:  # what follows it lies behind the payload, not behind the header
            self._write_out()
        totals = end.totals
        end.totals = Totals(
            totals.counted + counted,
            totals.missing + missing,
            totals.records + 1,
        )
        end.chain = next_chain(end.chain, header.hash)
        end.next_seq += 1
        self._index(header)
        if len(self._pieces) >= _PIECES_MAX or self._pieces_bytes >= _BUFFERED_BYTES_MAX:
            self._write_out()

    def _write_early(self, payload: bytes) -> None:
        """Write the next record's payload, and have the device work on it while it is hashed.

        But for its first page, which is still to get the header. What pads it is zero already.
        """
        assert self._file is not None
        self._write_out()
        at = self._pieces_at + RECORD_HEADER_BYTES
        end = at + self._file.pwrite([payload], at)
        begin = -(-at // _PAGE_BYTES) * _PAGE_BYTES
        self._file.begin_writing(end - begin, begin)

    def _index(self, header: RecordHeader) -> None:
        assert self._segment is not None
        state, rows = self._state, self._segment.rows
        if state.count == len(rows):
            self._segment.rows = rows = np.concatenate([rows, np.empty_like(rows)])
        rows[state.count] = index_row(header, self._segment.header.first_seq)
        self._state = extended(state, header, self._end.totals, self._end.chain)

    def _write_out(self) -> None:
        if self._pieces and self._file is not None:
            self._file.pwrite(self._pieces, self._pieces_at)
            self._pieces_at += self._pieces_bytes
            self._pieces, self._pieces_bytes = [], 0

    def _publish(self, summary: Summary) -> None:
        assert self._segment is not None
        if self._fresh_schemas:
            self._catalog.schemas = self._catalog.schemas | self._fresh_schemas
            self._fresh_schemas = {}
        self._segment.summary = summary
