"""Records as other systems take them: flat columns of scaled samples, and notes in plain words.

Owns that translation, once for every destination that does not speak `batch.proto`. Pure, and
without an object per sample until somebody asks for one. Must not know who asks.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import decode_anchor, decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.model import BAD_SEVERITY, RecordKind, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from forebay.model import Batch, Record, Schema

MAX_SCHEMAS = 256
"""How many schemas are kept decoded at hand."""


class Part(NamedTuple):
    """Values of one kind: those of the samples `rows`, shape (m,), as readers see them.

    `type` is the type on the device; a `scaled` part holds float64 whatever the type is. Where a
    sample's quality is bad there is no value, and the number here means nothing.
    """

    type: ValueType
    scaled: bool
    rows: NDArray[np.intp]
    values: NDArray[Any]


class Readings(NamedTuple):
    """A batch laid flat: n samples in the batch's order.

    `columns` is each sample's schema column and `scans` the row of the batch that it comes from,
    whose times are `times_ns[scan]` and `received_ns[scan]`. `quality` is its StatusCode; where it
    is `bad` there is no value. `columns`, `scans`, `quality` and `bad` have shape (n,).
    """

    schema: Schema
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    columns: NDArray[np.intp]
    scans: NDArray[np.intp]
    quality: NDArray[np.uint32]
    bad: NDArray[np.bool_]
    parts: tuple[Part, ...]

    def values(self) -> list[bool | int | float | str | bytes | None]:
        """Give one Python object a sample: its value, or None where the quality is bad."""
        out = np.full(len(self.columns), None, object)
        for part in self.parts:
            out[part.rows] = part.values.tolist()
        out[self.bad] = None
        return out.tolist()


class SchemaShelf:
    """The schemas that batches need: those seen, and behind them whoever else can find one."""

    def __init__(self, find: Callable[[int], Schema]) -> None:
        """`find` is asked for what was not seen, as `Offer.schema`."""
        self._find = find
        self._known: dict[int, Schema] = {}

    def put(self, record: Record) -> Schema:
        """Take in a SCHEMA record and give what it holds; JournalCorrupt if it is damaged."""
        return self._keep(decode_schema(record.payload))

    def of(self, record: Record) -> Schema:
        """Give the schema of a BATCH record.

        JournalCorrupt if the record is damaged, KeyError if nobody has its schema.
        """
        schema_id = peek_schema_id(record.payload)
        return self._known.get(schema_id) or self._keep(self._find(schema_id))

    def _keep(self, schema: Schema) -> Schema:
        while len(self._known) >= MAX_SCHEMAS:
            del self._known[next(iter(self._known))]
        return self._known.setdefault(schema.id, schema)


def readings(record: Record, schema: Schema) -> Readings:
    """Lay a BATCH record flat; JournalCorrupt if it does not fit itself or `schema`."""
    return flat(decode_batch(record.payload, schema))


def flat(batch: Batch) -> Readings:
    """Lay a batch flat: row by row, and within a dense row in schema order."""
    schema, rows, width = batch.schema, batch.rows, len(batch.schema.tags)
    if batch.index is None:
        columns = np.tile(np.arange(width), rows)
        scans = np.repeat(np.arange(rows), width)
    else:
        columns, scans = batch.index.astype(np.intp), np.arange(rows)
    quality = np.zeros(len(columns), np.uint32) if batch.quality is None else batch.quality.ravel()
    parts: list[Part] = []
    lane_of = schema.lane_of[columns]
    for number, lane in enumerate(schema.lanes):
        # Row by row in both layouts, so the lane's values are in the order of its samples.
        at = np.flatnonzero(lane_of == number)
        if len(at):
            parts += _parts(schema, lane.type, columns, at, batch.values[number].ravel())
    bad = quality & np.uint32(BAD_SEVERITY) != 0
    return Readings(
        schema, batch.times_ns, batch.received_ns, columns, scans, quality, bad, tuple(parts)
    )


def _parts(
    schema: Schema,
    kind: ValueType,
    columns: NDArray[np.intp],
    at: NDArray[np.intp],
    raw: NDArray[Any],
) -> list[Part]:
    """Split a lane's values, of the samples `at`, by whether they are scaled."""
    if kind is ValueType.STRING or kind is ValueType.BYTES:
        return [Part(kind, scaled=False, rows=at, values=raw)]
    scales = schema.scales[columns[at]]
    offsets = np.array([tag.offset for tag in schema.tags], np.float64)[columns[at]]
    scaled = (scales != 1.0) | (offsets != 0.0)
    found = []
    if not scaled.all():
        found.append(Part(kind, scaled=False, rows=at[~scaled], values=raw[~scaled]))
    if scaled.any():
        values = raw[scaled].astype(np.float64) * scales[scaled] + offsets[scaled]
        found.append(Part(kind, scaled=True, rows=at[scaled], values=values))
    return found


def note(record: Record) -> Mapping[str, Any] | None:
    """Give what a record says beside samples, as plain values; None if it says nothing else.

    A gap and a clock's anchor are notes, and so is what thinning took from a batch. Times are
    nanoseconds since 1970 UTC; epochs are text, 16 hex digits, because many readers of JSON have
    no integer of 63 bits. JournalCorrupt if the payload is damaged.
    """
    if record.kind is RecordKind.GAP:
        gap = decode_gap(record.payload)
        return {
            "kind": "gap",
            "cause": gap.cause.name,
            "from_ns": gap.time_from_ns,
            "to_ns": gap.time_to_ns,
            "samples": gap.samples,
            "device": gap.source or None,
            "lost_epoch": f"{gap.epoch:016x}" if gap.journaled else None,
            "lost_seq_from": gap.seq_from or None,
            "lost_seq_to": gap.seq_to or None,
        }
    if record.kind is RecordKind.ANCHOR:
        anchor = decode_anchor(record.payload)
        return {
            "kind": "anchor",
            "boot_id": anchor.boot_id,
            "wall_ns": anchor.wall_ns,
            "monotonic_ns": anchor.monotonic_ns,
            "state": anchor.state.name,
            "error_ns": anchor.error_ns,
        }
    if record.kind is RecordKind.BATCH and record.thinned:
        return {
            "kind": "thinned",
            "from_ns": record.time_min_ns,
            "to_ns": record.time_max_ns,
            "samples": record.thinned,
            "left": record.samples,
            "revision": record.revision,
        }
    return None


def instants(times_ns: NDArray[np.int64]) -> list[str]:
    """Give times as text: ISO 8601 in UTC with nine decimals and a Z."""
    texts = np.datetime_as_string(times_ns.astype("datetime64[ns]"), unit="ns").tolist()
    return [f"{text}Z" for text in texts]


def base64_text(blob: bytes) -> str:
    """Give bytes as text in Base64 (RFC 4648, section 4), padded, without line breaks."""
    return base64.b64encode(blob).decode("ascii")


def json_text(value: object) -> str:
    """Give `value` as JSON on one line, with its letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_values(found: Readings) -> list[str]:
    """Give each sample's value as JSON, `null` where the quality is bad.

    A float that is no number is `null` too, followed by its name as a field `float`, and bytes are
    text in Base64 (RFC 4648, section 4), followed by a field `encoding` that says so: what is given
    stands where an object's value stands.
    """
    out = ["null"] * len(found.columns)
    for part in found.parts:
        for row, text in zip(part.rows.tolist(), _json_part(part), strict=True):
            out[row] = text
    for row in found.bad.nonzero()[0].tolist():
        out[row] = "null"
    return out


def _json_part(part: Part) -> list[str]:
    values = part.values.tolist()
    if part.type is ValueType.STRING:
        return [json_text(value) for value in values]
    if part.type is ValueType.BYTES:
        return [f'"{base64_text(value)}","encoding":"base64"' for value in values]
    if part.type is ValueType.BOOL and not part.scaled:
        return ["true" if value else "false" for value in values]
    if part.values.dtype.kind != "f":
        return [str(value) for value in values]
    return [repr(v) if math.isfinite(v) else _not_a_number(v) for v in values]


def _not_a_number(value: float) -> str:
    name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return f'null,"float":"{name}"'
