"""What the server checks on each record before it stores it.

Pure. Owns the rule for damage: `crc` guards the bytes on their way, `hash` names the record for
ever. If only one of the two does not match, the payload is proved by the other and the envelope is
at fault; if neither matches, the payload is damaged.

| crc   | hash  | outcome |
|-------|-------|---------|
| match | match | stored |
| wrong | match | refused for now: damaged on the way, the next session sends it again |
| match | wrong | refused for good: the record does not say what it is |
| wrong | wrong | refused for good: the payload is damaged where it came from |

A record above revision 0 was thinned: its hash is that of the bytes before, so only the crc is
proof. A refused record whose bytes come again sound (the gateway mended its copy and sent it from
quarantine) is stored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import google_crc32c

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.decode import SchemaView, check_batch, decode_schema, parse
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Callable

HASH_BYTES = 32
MAX_SAMPLES = 1 << 40
"""Above what a batch of `MAX_RAW_BYTES` can hold."""
MAX_GAP_SAMPLES = 1 << 48
"""Above what the largest journal can hold: 16 TiB, a byte a sample."""


class Refused(Exception):
    """A record that is not stored.

    `code` goes to the gateway; `permanent` tells it whether to send the record again.
    """

    def __init__(self, code: str, reason: str, *, permanent: bool = True) -> None:
        """Keep the code (a StatusCode's name or a word of the protocol) and the reason."""
        super().__init__(reason)
        self.code = code
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Content:
    """What a sound record holds; an ANCHOR has nothing that is used here."""

    schema_id: int | None = None
    schema: SchemaView | None = None
    gap: batch_pb2.Gap | None = None


def identity(record: uplink_pb2.Record) -> bytes:
    """Give the hash under which the record is known: its claim, else that of its payload."""
    if len(record.hash) == HASH_BYTES:
        return record.hash
    return hashlib.sha256(record.payload).digest()


def judge(
    record: uplink_pb2.Record, max_record_bytes: int, columns_of: Callable[[int], int | None]
) -> Content:
    """Check a record and give its content.

    `columns_of` tells how many columns a schema id has, None if it is not known (yet).

    Raises:
        Refused: as the table of this module says, or the payload breaks the wire format.
    """
    if len(record.payload) > max_record_bytes:
        raise Refused("BadEncodingLimitsExceeded", f"{len(record.payload)} bytes of payload")
    _check_bytes(record)
    try:
        return _content(record, columns_of)
    except DecodingError as error:
        raise Refused(error.code, str(error)) from None


def _check_bytes(record: uplink_pb2.Record) -> None:
    crc_matches = google_crc32c.value(record.payload) == record.crc
    if len(record.hash) != HASH_BYTES:
        raise Refused("BadDecodingError", "no SHA-256")
    if record.revision > 0:
        hash_matches = crc_matches
    else:
        hash_matches = hashlib.sha256(record.payload).digest() == record.hash
    if crc_matches and hash_matches:
        return
    if hash_matches:
        raise Refused("BadDecodingError", "crc does not match, hash does", permanent=False)
    raise Refused("BadDecodingError", "hash does not match the payload")


def _content(record: uplink_pb2.Record, columns_of: Callable[[int], int | None]) -> Content:
    # Of every kind: a number that no database holds would stop who stores it, again and again.
    if max(record.samples, record.thinned) >= MAX_GAP_SAMPLES:
        raise DecodingError("an impossible number of samples")
    if record.kind == uplink_pb2.BATCH:
        batch = parse(batch_pb2.Batch, record.payload)
        check_batch(batch)
        _check_samples(record, batch, columns_of(batch.schema_id))
        return Content(schema_id=batch.schema_id)
    if record.kind == uplink_pb2.SCHEMA:
        return Content(schema=decode_schema(record.payload))
    if record.kind == uplink_pb2.GAP:
        return Content(gap=_checked_gap(record))
    if record.kind == uplink_pb2.ANCHOR:
        parse(batch_pb2.Anchor, record.payload)
        return Content()
    raise Refused("BadDataEncodingUnsupported", f"record kind {record.kind}")


def _check_samples(record: uplink_pb2.Record, batch: batch_pb2.Batch, columns: int | None) -> None:
    """The ledger counts what the envelope says, so it has to say what the payload holds.

    Samples that thinning took are told by the envelope alone; it may have taken all.
    """
    if not batch.rows and not record.thinned:
        raise DecodingError("a batch without rows")
    sparse = any(column.role == batch_pb2.INDEX for column in batch.columns)
    held = batch.rows if sparse else batch.rows * (columns or 0)
    if (sparse or columns is not None) and held != record.samples:
        raise DecodingError(f"{record.samples} samples announced, {held} there")
    if max(record.samples, record.thinned) >= MAX_SAMPLES:
        raise DecodingError("an impossible number of samples")
    if record.thinned and not record.revision:
        raise DecodingError("a record of the first revision that lost samples")


def _checked_gap(record: uplink_pb2.Record) -> batch_pb2.Gap:
    gap = parse(batch_pb2.Gap, record.payload)
    if gap.cause not in batch_pb2.GapCause.values():
        raise Refused("BadDataEncodingUnsupported", f"gap cause {gap.cause}")
    if gap.samples >= MAX_GAP_SAMPLES:
        raise DecodingError("an impossible number of samples")
    if gap.seq_to == 0 and gap.seq_from == 0:
        return gap
    if not 1 <= gap.seq_from <= gap.seq_to < 1 << 62 or not 0 < gap.epoch < 1 << 63:
        raise DecodingError("a gap of impossible positions")
    if (gap.epoch, gap.seq_to) >= (record.epoch, record.seq):
        raise DecodingError("a gap that accounts for itself or for what comes after it")
    return gap
