"""Making a thinner copy of a sealed segment, beside it and out of everybody's way.

Owns the new file's bytes: the same positions, hashes, schemas, gaps, anchors and totals, fewer
samples. Runs on a thread of its own. Must not know consumers, nor who decides that the copy takes
the segment's place.
"""

from __future__ import annotations

import contextlib
import errno
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import BatchEncoder, decode_batch, decode_schema, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.journal.appender import FRESH_SUFFIX
from forebay.journal.catalog import Segment, read_index
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import RecordHeader, aligned, crc32c, decode_header, encode_header
from forebay.journal.segment import (
    HEADER_BYTES,
    INDEX,
    encode_footer,
    file_name,
    footer_bytes,
    index_row,
)
from forebay.journal.segment import encode_header as encode_segment_header
from forebay.journal.thinning import RUN_SAMPLES, thin
from forebay.model import RecordKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk
    from forebay.model import Batch, Schema

WORTH = 0.75
"""A copy that is larger than this share of its segment is not worth its samples."""


class _Part(NamedTuple):
    """One record: its header, whose offset is yet to be set, and its payload."""

    header: RecordHeader
    payload: bytes


@dataclass(frozen=True, slots=True)
class Thinned:
    """What became of one attempt to thin `segment` by buckets of `level_s`.

    `copy` is durable under its name with FRESH_SUFFIX, or None if it is not worth it or if the
    segment is damaged; `full` says that the disk had no room for it. `error` is a write or flush
    that failed otherwise.
    """

    segment: Segment
    level_s: int
    copy: Segment | None = None
    full: bool = False
    error: OSError | None = None


class Thinner:
    """The thread that makes copies, one at a time."""

    def __init__(self, disk: Disk, ended: Callable[[Future[Thinned]], None]) -> None:
        """Tell each outcome by `ended`, on that thread."""
        self._disk, self._ended = disk, ended
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal-thinner")
        self._stopping = False

    def begin(self, segment: Segment, level_s: int) -> None:
        """Have a copy of `segment` made."""
        future = self._pool.submit(
            rewrite, self._disk, segment, level_s, stopping=lambda: self._stopping
        )
        future.add_done_callback(self._ended)

    def stop(self) -> None:
        """Give up what is being made, and end the thread. Blocks until then."""
        self._stopping = True
        self._pool.shutdown(cancel_futures=True)


class _Stopped(Exception):
    """Nobody waits for the copy any more."""


def rewrite(
    disk: Disk, segment: Segment, level_s: int, *, stopping: Callable[[], bool] = bool
) -> Thinned:
    """Make the copy. Blocks for seconds, unless `stopping` says so meanwhile.

    Never raises OSError: the outcome has it.
    """
    try:
        parts = _read(disk, segment)
    except OSError as error:
        gone = error.errno in (errno.EIO, errno.ENOENT)  # damaged, or retention was faster
        return Thinned(segment, level_s, error=None if gone else error)
    if parts is None:
        return Thinned(segment, level_s)
    try:
        thinner = _lay_out(segment, _thin(parts, level_s, stopping), level_s)
    except _Stopped:
        return Thinned(segment, level_s)
    if thinner is None:
        return Thinned(segment, level_s)
    copy, pieces = thinner
    fresh = copy.path.with_name(copy.path.name + FRESH_SUFFIX)
    try:
        _write(disk, fresh, pieces, copy.summary.file_bytes)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        with contextlib.suppress(OSError):
            disk.unlink(fresh)
        return Thinned(segment, level_s, full=full, error=None if full else error)
    return Thinned(segment, level_s, copy)


def _read(disk: Disk, segment: Segment) -> list[_Part] | None:
    """Read all records; None unless each of them is whole and none is missing."""
    head, summary = segment.header, segment.summary
    rows = read_index(disk, segment)
    if len(rows) != summary.count or summary.last_seq - head.first_seq + 1 != summary.count:
        return None
    file = disk.open(segment.path)
    try:
        data = file.pread(summary.end, 0)
    finally:
        file.close()
    parts: list[_Part] = []
    for seq, offset in enumerate(rows["offset"].tolist(), start=head.first_seq):
        header = decode_header(data, offset, offset)
        if header is None or (header.epoch, header.seq) != (head.epoch, seq):
            return None
        payload = data[offset + RECORD_HEADER_BYTES :][: header.length]
        if len(payload) != header.length or crc32c(payload) != header.crc:
            return None
        parts.append(_Part(header, payload))
    return parts


# --- choosing -------------------------------------------------------------------------------------


def _thin(parts: Sequence[_Part], level_s: int, stopping: Callable[[], bool]) -> list[_Part]:
    """Give the same records with fewer samples, wherever that makes them smaller."""
    out = list(parts)
    schemas = _schemas(parts)
    encoder = BatchEncoder()
    waiting: dict[int, list[tuple[int, Batch]]] = {}
    samples = 0

    def flush() -> None:
        for found in waiting.values():
            left = thin([batch for _, batch in found], level_s)
            for (number, before), after in zip(found, left, strict=True):
                out[number] = _thinner(out[number], before, after, encoder)
        waiting.clear()

    for number, (header, payload) in enumerate(parts):
        if stopping():
            raise _Stopped
        if header.kind != RecordKind.BATCH:
            continue
        batch = _decoded(payload, schemas)
        if batch is None or batch.samples != header.samples:
            continue  # of a newer version: it stays as it is
        if samples + batch.samples > RUN_SAMPLES:
            flush()
            samples = 0
        samples += batch.samples
        waiting.setdefault(batch.schema.id, []).append((number, batch))
    flush()
    return out


def _schemas(parts: Sequence[_Part]) -> dict[int, Schema]:
    """Decode the schemas that the segment holds."""
    found: dict[int, Schema] = {}
    for header, payload in parts:
        if header.kind == RecordKind.SCHEMA:
            with contextlib.suppress(JournalCorrupt):  # of a newer version
                schema = decode_schema(payload)
                found[schema.id] = schema
    return found


def _decoded(payload: bytes, schemas: dict[int, Schema]) -> Batch | None:
    try:
        schema = schemas.get(peek_schema_id(payload))
        return None if schema is None else decode_batch(payload, schema)
    except JournalCorrupt:
        return None


def _thinner(part: _Part, before: Batch, after: Batch, encoder: BatchEncoder) -> _Part:
    """Give the record with `after` in place of `before`, or as it is if that is no smaller."""
    taken = before.samples - after.samples
    if not taken:
        return part
    payload = encoder.encode([after])
    if len(payload) >= len(part.payload):
        return part
    header = part.header._replace(
        revision=part.header.revision + 1,
        samples=after.samples,
        thinned=part.header.thinned + taken,
        length=len(payload),
        crc=crc32c(payload),
    )
    return _Part(header, payload)


# --- writing --------------------------------------------------------------------------------------


def _lay_out(
    segment: Segment, parts: Sequence[_Part], level_s: int
) -> tuple[Segment, list[bytes]] | None:
    """Give the copy and its bytes; None if it is not worth its samples."""
    head, summary = segment.header, segment.summary
    size = HEADER_BYTES + sum(RECORD_HEADER_BYTES + aligned(len(p.payload)) for p in parts)
    footer = footer_bytes(len(parts), len(summary.schemas), len(summary.gaps))
    if size + footer > WORTH * summary.file_bytes:
        return None
    header = replace(head, level_s=level_s, revision=head.revision + 1)
    pieces = [encode_segment_header(header)]
    rows: NDArray[Any] = np.empty(len(parts), INDEX)
    moved: dict[int, int] = {}
    at, samples, thinned = HEADER_BYTES, 0, 0
    for number, (old, payload) in enumerate(parts):
        record = old._replace(offset=at)
        pieces += [encode_header(record), payload, bytes(aligned(len(payload)) - len(payload))]
        rows[number] = index_row(record, head.first_seq)
        if record.kind == RecordKind.BATCH:
            samples, thinned = samples + record.samples, thinned + record.thinned
        moved[old.offset] = at
        at += record.size
    summary = replace(
        summary,
        samples=samples,
        thinned=thinned,
        end=at,
        file_bytes=at + footer,
        schemas={i: (moved[offset], size) for i, (offset, size) in summary.schemas.items()},
    )
    pieces.append(encode_footer(rows, summary, at))
    path = segment.path.with_name(file_name(head.epoch, head.first_seq, header.revision))
    return Segment(path, header, summary), pieces


def _write(disk: Disk, path: Path, pieces: Sequence[bytes], size: int) -> None:
    """Write a new file and make it durable; one from an earlier attempt goes first."""
    if disk.exists(path):
        disk.unlink(path)
    file = disk.open(path, create=True)
    try:
        file.allocate(size)
        file.pwrite([b"".join(pieces)], 0)
        file.datasync()
    finally:
        file.close()
