"""A segment file's own bytes: its name, its header, and the footer that seals it.

Owns the layout of docs/internals/journal.md except the records. Pure. Must not know files or
threads; it turns values into bytes and bytes into values.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.journal.record import NO_CHAIN, crc32c
from forebay.model import Gap, GapCause, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from forebay.journal.record import RecordHeader

MAGIC = b"FbSEGMNT"
SEAL_MAGIC = b"FbSEALED"
VERSION = 2
HEADER_BYTES = 128
MAX_RECORDS = 65_536
"""Records in one segment; bounds the index in memory."""

INDEX = np.dtype(
    [
        ("offset", "<u4"),
        ("length", "<u4"),
        ("step", "<u4"),
        ("kind", "<u4"),
        ("counted", "<u8"),
        ("samples", "<u8"),
        ("thinned", "<u8"),
        ("time_min_ns", "<i8"),
        ("time_max_ns", "<i8"),
    ]
)
"""One row a record: `step` is seq minus the segment's first seq, `length` the payload's; the rest
is the record header's."""

_HEADER = struct.Struct("<8sIIB7xQQqQQQ32sII")
_SCHEMA = struct.Struct("<QII")
_GAP = struct.Struct("<QQQQQqqI4x")
_UNKNOWN = (1 << 64) - 1
_TRAILER = struct.Struct("<IIIIIIIIQQQQQQqqq32sI4x8s")
TRAILER_BYTES = _TRAILER.size
_CLEAN, _SYNCED = 1, 2
_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})(?:\.([1-9][0-9]{0,4}))?\.seg$")


class Totals(NamedTuple):
    """A stream's running account, from the journal's creation on, over all epochs.

    `counted`: samples in batches as first written, which all got a position. `missing`: samples
    that never had one and that a gap accounts for. `records`: all.
    """

    counted: int = 0
    missing: int = 0
    records: int = 0


class JournaledGap(NamedTuple):
    """A gap record, at seq `at` of its segment's epoch, that says that positions are gone."""

    at: int
    gap: Gap

    def covers(self, epoch: int, seq_from: int, seq_to: int) -> bool:
        """Whether all of these positions are named by this gap."""
        gap = self.gap
        return gap.epoch == epoch and gap.seq_from <= seq_from and seq_to <= gap.seq_to


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What stands at the start of each segment: which records follow, and the account before them.

    `first_seq` is the seq of the first record that was, or would have been, written here. A segment
    that was thinned has a `revision` above 0, and `level_s` is the bucket, in seconds, of which few
    samples a tag are left; 0 for all.
    """

    stream: Stream
    epoch: int
    first_seq: int
    created_ns: int
    before: Totals = field(default_factory=Totals)
    chain: bytes = NO_CHAIN
    level_s: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a segment without its index; replaced whole as the segment grows.

    `last_seq` is below the header's `first_seq` while there is no record. `samples` counts those of
    the batches that are in the index, `thinned` what thinning took from these batches. `end` is the
    offset behind the last record, `file_bytes` what the file takes. `after` and `chain` hold behind
    the last record. `sealed_ns` is the wall time of sealing, 0 for the segment that is being
    written; `synced`: a disciplined clock told it. `clean`: an orderly stop sealed it.
    `time_min_ns` and `time_max_ns` span the batches; both are 0 if there is none.
    """

    last_seq: int
    count: int
    samples: int
    end: int
    file_bytes: int
    after: Totals
    chain: bytes
    time_min_ns: int = 0
    time_max_ns: int = 0
    sealed_ns: int = 0
    clean: bool = False
    synced: bool = False
    schemas: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    gaps: tuple[JournaledGap, ...] = ()
    thinned: int = 0


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a sealed file's parts lie: index, schemas and gaps, and then the trailer itself."""

    index_offset: int
    index_crc: int
    schema_count: int
    gap_count: int
    sections_crc: int
    summary: Summary

    @property
    def index_bytes(self) -> int:
        """Length of the index."""
        return self.summary.count * INDEX.itemsize

    @property
    def sections_offset(self) -> int:
        """Where schemas and gaps begin."""
        return self.index_offset + self.index_bytes

    @property
    def sections_bytes(self) -> int:
        """Length of schemas and gaps."""
        return self.schema_count * _SCHEMA.size + self.gap_count * _GAP.size


class SegmentName(NamedTuple):
    """What a segment's file name says; names sort by age."""

    epoch: int
    first_seq: int
    revision: int = 0


def file_name(epoch: int, first_seq: int, revision: int = 0) -> str:
    """Give the name of a segment; names sort by (epoch, first seq)."""
    thinned = f".{revision}" if revision else ""
    return f"{epoch:016x}-{first_seq:016x}{thinned}.seg"


def parse_name(name: str) -> SegmentName | None:
    """Give what the name of a segment says, or None for any other file."""
    match = _NAME.match(name)
    return SegmentName(int(match[1], 16), int(match[2], 16), int(match[3] or 0)) if match else None


def encode_header(header: SegmentHeader) -> bytes:
    """Give the HEADER_BYTES bytes that start a segment."""
    body = _HEADER.pack(
        MAGIC,
        VERSION,
        0,
        header.stream.number,
        header.epoch,
        header.first_seq,
        header.created_ns,
        *header.before,
        header.chain,
        header.level_s,
        header.revision,
    ).ljust(HEADER_BYTES, b"\0")
    return body[:12] + crc32c(body[16:]).to_bytes(4, "little") + body[16:]


def decode_header(data: bytes) -> SegmentHeader | None:
    """Read a segment's header; None if it is damaged or of another version."""
    if len(data) < HEADER_BYTES or data[:8] != MAGIC:
        return None
    body = data[:HEADER_BYTES]
    _, version, crc, stream, epoch, first_seq, created_ns, *rest = _HEADER.unpack_from(body)
    if version != VERSION or crc != crc32c(body[16:]) or not 1 <= stream <= len(Stream):
        return None
    return SegmentHeader(
        Stream.of(stream), epoch, first_seq, created_ns, Totals(*rest[:3]), *rest[3:]
    )


def footer_bytes(count: int, schemas: int, gaps: int) -> int:
    """Give what sealing a segment with this content takes."""
    return count * INDEX.itemsize + schemas * _SCHEMA.size + gaps * _GAP.size + TRAILER_BYTES


def encode_footer(index: NDArray[Any], summary: Summary, at: int) -> bytes:
    """Give the footer to write at `at`, the file's last bytes; `summary` must be sealed."""
    rows = index.tobytes()
    sections = b"".join(
        _SCHEMA.pack(schema_id, *place) for schema_id, place in summary.schemas.items()
    ) + b"".join(_pack_gap(gap) for gap in summary.gaps)
    trailer = _TRAILER.pack(
        at,
        crc32c(rows),
        summary.count,
        len(summary.schemas),
        len(summary.gaps),
        crc32c(sections),
        (_CLEAN if summary.clean else 0) | (_SYNCED if summary.synced else 0),
        summary.end,
        summary.last_seq,
        summary.samples,
        summary.thinned,
        *summary.after,
        summary.time_min_ns,
        summary.time_max_ns,
        summary.sealed_ns,
        summary.chain,
        0,
        SEAL_MAGIC,
    )
    crc_at = TRAILER_BYTES - 16
    crc = crc32c(trailer[:crc_at]).to_bytes(4, "little")
    return rows + sections + trailer[:crc_at] + crc + trailer[crc_at + 4 :]


def decode_trailer(data: bytes, file_bytes: int) -> Tail | None:
    """Read the last TRAILER_BYTES of a file of `file_bytes`; None if they seal nothing.

    The summary's schemas and gaps are still to be read, with `decode_sections`.
    """
    if len(data) != TRAILER_BYTES or data[-8:] != SEAL_MAGIC:
        return None
    (
        at,
        index_crc,
        count,
        schema_count,
        gap_count,
        sections_crc,
        flags,
        end,
        last_seq,
        samples,
        thinned,
        *totals,
        time_min_ns,
        time_max_ns,
        sealed_ns,
        chain,
        crc,
        _,
    ) = _TRAILER.unpack(data)
    summary = Summary(
        last_seq=last_seq,
        count=count,
        samples=samples,
        thinned=thinned,
        end=end,
        file_bytes=file_bytes,
        after=Totals(*totals),
        chain=chain,
        time_min_ns=time_min_ns,
        time_max_ns=time_max_ns,
        sealed_ns=sealed_ns,
        clean=bool(flags & _CLEAN),
        synced=bool(flags & _SYNCED),
    )
    tail = Tail(at, index_crc, schema_count, gap_count, sections_crc, summary)
    fits = tail.sections_offset + tail.sections_bytes + TRAILER_BYTES == file_bytes
    whole = crc == crc32c(data[: TRAILER_BYTES - 16]) and HEADER_BYTES <= end <= at
    return tail if fits and whole and count <= MAX_RECORDS else None


def decode_sections(tail: Tail, data: bytes) -> Summary | None:
    """Complete the tail's summary with its schemas and gaps; None if they are damaged."""
    if len(data) != tail.sections_bytes or crc32c(data) != tail.sections_crc:
        return None
    split = tail.schema_count * _SCHEMA.size
    schemas = {
        schema_id: (offset, length)
        for schema_id, offset, length in _SCHEMA.iter_unpack(data[:split])
    }
    gaps = tuple(_unpack_gap(fields) for fields in _GAP.iter_unpack(data[split:]))
    return replace(tail.summary, schemas=schemas, gaps=gaps)


def _pack_gap(journaled: JournaledGap) -> bytes:
    gap = journaled.gap
    return _GAP.pack(
        journaled.at,
        gap.epoch,
        gap.seq_from,
        gap.seq_to,
        _UNKNOWN if gap.samples is None else gap.samples,
        gap.time_from_ns,
        gap.time_to_ns,
        gap.cause.value,
    )


def _unpack_gap(fields: tuple[int, ...]) -> JournaledGap:
    at, epoch, seq_from, seq_to, samples, time_from_ns, time_to_ns, cause = fields
    gap = Gap(
        cause=GapCause(cause),
        time_from_ns=time_from_ns,
        time_to_ns=time_to_ns,
        samples=None if samples == _UNKNOWN else samples,
        epoch=epoch,
        seq_from=seq_from,
        seq_to=seq_to,
    )
    return JournaledGap(at, gap)


def decode_index(tail: Tail, data: bytes) -> NDArray[Any] | None:
    """Read the index; None if it is damaged."""
    if len(data) != tail.index_bytes or crc32c(data) != tail.index_crc:
        return None
    return np.frombuffer(data, INDEX)


def batch_samples(rows: NDArray[Any]) -> int:
    """Count the samples of the batches among these index rows."""
    return int(rows["samples"][rows["kind"] == RecordKind.BATCH].sum())


def batch_thinned(rows: NDArray[Any]) -> int:
    """Count what thinning took from the batches among these index rows."""
    return int(rows["thinned"][rows["kind"] == RecordKind.BATCH].sum())


def own_counts(rows: NDArray[Any]) -> NDArray[np.int64]:
    """Give for each index row what it adds to `counted`; see `RecordHeader.own`."""
    first = (rows["samples"] + rows["thinned"]).astype(np.int64)
    return np.where(rows["kind"] == RecordKind.BATCH, first, 0)


def index_row(header: RecordHeader, first_seq: int) -> tuple[Any, ...]:
    """Give a record's row in its segment's index."""
    return (
        header.offset,
        header.length,
        header.seq - first_seq,
        header.kind,
        header.counted,
        header.samples,
        header.thinned,
        header.time_min_ns,
        header.time_max_ns,
    )


def extended(state: Summary, header: RecordHeader, after: Totals, chain: bytes) -> Summary:
    """Give the summary behind one more record, with the account and chain behind it."""
    time_min_ns, time_max_ns = state.time_min_ns, state.time_max_ns
    samples, thinned = state.samples, state.thinned
    if header.kind == RecordKind.BATCH:
        first = not time_max_ns and not time_min_ns
        time_min_ns = header.time_min_ns if first else min(time_min_ns, header.time_min_ns)
        time_max_ns = header.time_max_ns if first else max(time_max_ns, header.time_max_ns)
        samples, thinned = samples + header.samples, thinned + header.thinned
    return Summary(  # not `replace`, which takes three times as long: once a record
        header.seq,
        state.count + 1,
        samples,
        header.offset + header.size,
        state.file_bytes,
        after,
        chain,
        time_min_ns,
        time_max_ns,
        state.sealed_ns,
        state.clean,
        state.synced,
        state.schemas,
        state.gaps,
        thinned,
    )
