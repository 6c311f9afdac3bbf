"""One record as bytes: a fixed header, the payload, zeros up to the next multiple of eight.

Owns the record header of docs/internals/journal.md. Pure. Must not know files, segments or threads.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

import google_crc32c

from forebay.model import Position, Record, RecordKind, Stream

MAGIC = b"FbR2"
_HEADER = struct.Struct("<4sIBBHIQQQQQQqqII32s")
HEADER_BYTES = _HEADER.size
ALIGNMENT = 8
MAX_PAYLOAD_BYTES = 16 << 20
"""The most that one record may hold; more is refused at submit and never believed on disk."""
NO_CHAIN = bytes(32)
"""The chain before the first record of an epoch."""

_LAST_KIND = max(RecordKind)
_LAST_STREAM = len(Stream)


class RecordHeader(NamedTuple):
    """The header's fields, in the order in which they lie on disk behind magic and CRC.

    `stream` is `Stream.number`. `offset` is the header's own place in its file, so that a copy
    anywhere else, such as inside a payload, is no header. `samples` are those in the payload, and
    `thinned` those that thinning took from it, `revision` times. `counted` and `missing` are the
    stream's running totals before this record: samples in batches as first written, and samples in
    gaps that never had a position. With them the size of any hole is known from its two edges.
    `crc` is the CRC32C of the payload, which has `length` bytes, and `hash` the SHA-256 of the
    payload as first written.
    """

    kind: int
    stream: int
    revision: int
    offset: int
    epoch: int
    seq: int
    samples: int
    thinned: int
    counted: int
    missing: int
    time_min_ns: int
    time_max_ns: int
    length: int
    crc: int
    hash: bytes

    @property
    def size(self) -> int:
        """Bytes that the whole record takes in its file."""
        return record_bytes(self.length)

    @property
    def own(self) -> int:
        """What it adds to the stream's `counted`: a batch's samples as first written, else 0."""
        return self.samples + self.thinned if self.kind == RecordKind.BATCH else 0


def crc32c(data: bytes) -> int:
    """Give the CRC32C (Castagnoli; RFC 3720, appendix B.4) of `data`."""
    value: int = google_crc32c.value(data)
    return value


def sha256(payload: bytes) -> bytes:
    """Give the SHA-256 that the chain is made of."""
    return hashlib.sha256(payload).digest()


def next_chain(chain: bytes, payload_hash: bytes) -> bytes:
    """Give the chain behind a record: SHA-256 of the chain before it and its payload's hash."""
    return hashlib.sha256(chain + payload_hash).digest()


def aligned(size: int) -> int:
    """Round up to where a record may start."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def record_bytes(length: int) -> int:
    """Give what a record with a payload of `length` bytes takes in its file."""
    return HEADER_BYTES + aligned(length)


def encode_header(header: RecordHeader) -> bytes:
    """Give the header's HEADER_BYTES bytes."""
    data = _HEADER.pack(MAGIC, 0, *header)
    return MAGIC + crc32c(data[8:]).to_bytes(4, "little") + data[8:]


def decode_header(data: bytes, at: int, offset: int) -> RecordHeader | None:
    """Read the header at `data[at:]`, which lies at `offset` in its file; None if there is none.

    A header counts only if its magic, its CRC, its offset, its kind, its stream and its length are
    all what a writer may have written.
    """
    body = data[at : at + HEADER_BYTES]
    if len(body) < HEADER_BYTES or body[:4] != MAGIC:
        return None
    _, crc, *fields = _HEADER.unpack(body)
    header = RecordHeader(*fields)
    if crc != crc32c(body[8:]) or header.offset != offset:
        return None
    known = 1 <= header.kind <= _LAST_KIND and 1 <= header.stream <= _LAST_STREAM
    return header if known and header.seq and header.length <= MAX_PAYLOAD_BYTES else None


def to_record(header: RecordHeader, payload: bytes) -> Record:
    """Give the record as a consumer sees it; the caller has checked the payload's CRC."""
    return Record(
        position=Position(Stream.of(header.stream), header.epoch, header.seq),
        kind=RecordKind(header.kind),
        samples=header.samples,
        time_min_ns=header.time_min_ns,
        time_max_ns=header.time_max_ns,
        revision=header.revision,
        hash=header.hash,
        crc=header.crc,
        payload=payload,
        thinned=header.thinned,
    )
