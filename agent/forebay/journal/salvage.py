"""Reading a segment that has no valid footer, record by record.

Owns the search for records in raw bytes and the new footer that makes them a sealed segment again.
What cannot be read stays in the file untouched. Must not know streams, gaps to be or cursors.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.columnar import decode_gap, decode_schema
from forebay.errors import JournalCorrupt
from forebay.journal.record import (
    ALIGNMENT,
    MAGIC,
    RecordHeader,
    aligned,
    crc32c,
    decode_header,
    next_chain,
)
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.segment import (
    HEADER_BYTES,
    INDEX,
    MAX_RECORDS,
    JournaledGap,
    SegmentHeader,
    Summary,
    Totals,
    encode_footer,
    encode_header,
    index_row,
)
from forebay.model import RecordKind

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay.files import Disk, DiskFile

_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment's bytes hold. `summary` is not sealed; `rows` is its index.

    `torn` is the last record whose header is whole and whose payload is not, with nothing readable
    behind it. `dirty`: something that is no record stands behind the last one. `content_end` is
    where everything that was ever written ends.
    """

    header: SegmentHeader
    summary: Summary
    rows: NDArray[Any]
    torn: RecordHeader | None
    dirty: bool
    content_end: int

    @property
    def complete(self) -> bool:
        """Whether no record is missing between the segment's first and its last."""
        return self.summary.last_seq - self.header.first_seq + 1 == self.summary.count


def scan(data: bytes, header: SegmentHeader) -> Scan:
    """Find every record of the segment in `data`, its file's whole content."""
    walk = _Walk(data, header)
    at = HEADER_BYTES
    while at < len(data):
        found = walk.header_at(at)
        if found is not None and walk.payload_holds(found):
            walk.take(found)
            at += found.size
            continue
        beyond = walk.next_header(at + (ALIGNMENT if found is None else found.size))
        if beyond >= len(data):
            break
        at = beyond
    content_end = max(walk.summary.end, aligned(len(data.rstrip(b"\0"))))
    return Scan(
        header=header,
        summary=walk.summary,
        rows=np.array(walk.rows, INDEX),
        torn=walk.header_at(at),
        dirty=content_end > walk.summary.end,
        content_end=content_end,
    )


class _Walk:
    """The state of one scan: what the records so far add up to.

    Numbers of its own, not a Summary a record: a segment may hold 65,536, and a start scans many.
    """

    def __init__(self, data: bytes, header: SegmentHeader) -> None:
        self._data, self._header = data, header
        self._mine = (header.stream.number, header.epoch)
        self._last_seq, self._end = header.first_seq - 1, HEADER_BYTES
        self._counted, self._missing, self._records = header.before
        self._chain = header.chain
        self._samples = self._thinned = 0
        self._time_min_ns = self._time_max_ns = 0
        self._schemas: dict[int, tuple[int, int]] = {}
        self._gaps: list[JournaledGap] = []
        self.rows: list[tuple[int, ...]] = []

    @property
    def summary(self) -> Summary:
        """What the records so far add up to."""
        return Summary(
            last_seq=self._last_seq,
            count=len(self.rows),
            samples=self._samples,
            thinned=self._thinned,
            end=self._end,
            file_bytes=len(self._data),
            after=Totals(self._counted, self._missing, self._records),
            chain=self._chain,
            time_min_ns=self._time_min_ns,
            time_max_ns=self._time_max_ns,
            schemas=self._schemas,
            gaps=tuple(self._gaps),
        )

    def header_at(self, at: int) -> RecordHeader | None:
        """Give the header at `at` if it is one of this segment's and not from before."""
        found = decode_header(self._data, at, at)
        if found is None or len(self.rows) >= MAX_RECORDS:
            return None
        mine = (found.stream, found.epoch) == self._mine
        return found if mine and found.seq > self._last_seq else None

    def payload_holds(self, found: RecordHeader) -> bool:
        """Whether the record is whole."""
        start = found.offset + RECORD_HEADER_BYTES
        payload = self._data[start : start + found.length]
        return len(payload) == found.length and crc32c(payload) == found.crc

    def next_header(self, at: int) -> int:
        """Give where the next header of this segment stands, the data's length if nowhere."""
        at = self._data.find(MAGIC, at)
        while at >= 0 and (at % ALIGNMENT or self.header_at(at) is None):
            at = self._data.find(MAGIC, at + 1)
        return at if at >= 0 else len(self._data)

    def take(self, found: RecordHeader) -> None:
        """Account for one readable record; its header also tells what a hole before it held."""
        self._counted, self._missing = found.counted, found.missing
        if found.kind == RecordKind.BATCH:
            self._batch(found)
        elif found.kind == RecordKind.GAP:
            self._missing += found.samples
            gap = decode_gap(self._payload(found))
            if gap.journaled:
                self._gaps.append(JournaledGap(found.seq, gap))
        elif found.kind == RecordKind.SCHEMA:
            with contextlib.suppress(JournalCorrupt):  # of a newer version: carried, not indexed
                schema = decode_schema(self._payload(found))
                self._schemas[schema.id] = (found.offset, found.length)
        self._records += found.seq - self._last_seq
        self._last_seq, self._end = found.seq, found.offset + found.size
        self._chain = next_chain(self._chain, found.hash)
        self.rows.append(index_row(found, self._header.first_seq))

    def _batch(self, found: RecordHeader) -> None:
        self._counted += found.samples + found.thinned
        self._samples += found.samples
        self._thinned += found.thinned
        if not self._time_max_ns and not self._time_min_ns:
            self._time_min_ns, self._time_max_ns = found.time_min_ns, found.time_max_ns
        self._time_min_ns = min(self._time_min_ns, found.time_min_ns)
        self._time_max_ns = max(self._time_max_ns, found.time_max_ns)

    def _payload(self, found: RecordHeader) -> bytes:
        start = found.offset + RECORD_HEADER_BYTES
        return self._data[start : start + found.length]


def reseal(disk: Disk, path: Path, found: Scan, clock: Clock) -> Summary:
    """Put a footer behind everything in the file and make it durable; records stay where they are.

    Until the footer is whole the next start scans again. The records are flushed first: a process
    that was killed may have left them in the page cache only.
    """
    at, now = found.content_end, clock.read()
    summary = replace(found.summary, sealed_ns=max(1, now.wall_ns), synced=now.synced)
    footer = encode_footer(found.rows, summary, at)
    summary = replace(summary, file_bytes=at + len(footer))
    file = disk.open(path, write=True)
    try:
        file.pwrite([encode_header(found.header)], 0)
        file.datasync()
        file.pwrite([footer], at)
        file.truncate(summary.file_bytes)
        file.datasync()
    finally:
        file.close()
    return summary


def read_whole(file: DiskFile) -> tuple[bytes, bool]:
    """Read a file, zeros where the medium gives nothing back; True if that happened."""
    size = file.size()
    try:
        return file.pread(size, 0), False
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    blocks = []
    for at in range(0, size, _BLOCK_BYTES):
        try:
            block = file.pread(_BLOCK_BYTES, at)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            block = bytes(min(_BLOCK_BYTES, size - at))
        blocks.append(block)
    return b"".join(blocks), True
