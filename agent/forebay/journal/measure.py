"""What a forecast is made from: how fast the journal grew, what tags take, what thinning leaves.

Owns the choice of what is looked at, which bounds time and memory, and the measuring itself: tags
are measured by encoding their columns alone, thinning by doing it. Must not know the arithmetic
that makes a forecast of it (`forecast`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import BatchEncoder, decode_batch, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.journal import cursor_file
from forebay.journal.cursor import PLUGIN
from forebay.journal.forecast import Span, Thinning, scaled
from forebay.journal.record import HEADER_BYTES, record_bytes
from forebay.journal.thinning import LEVELS_S, thin
from forebay.model import Batch, Position, RecordKind, Schema, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from forebay.journal.offline import OfflineJournal, SegmentFile
    from forebay.model import Record

SAMPLE_BYTES = 256 << 20
"""Read at most of the newest segments."""
SAMPLE_S = 3_600.0
"""Source time that a sample spans at most."""
SAMPLE_BATCHES = 20_000
WHOLE_BATCHES = 3
"""Batches of each schema whose tags are measured one by one."""
TAGS_MEASURED = 30_000
"""Columns that are encoded alone, over all batches; what is beyond is not measured."""
THIN_SCHEMAS, THIN_COLUMNS = 16, 256
"""Of how many schemas and how many of their tags thinning is tried."""


class Grown(NamedTuple):
    """Every segment as a span, and per stream what its files take and how large one of them is.

    `now_ns` is the wall time at which the newest was last written, as far as can be known.
    """

    spans: list[Span]
    used: dict[Stream, int]
    segment_bytes: dict[Stream, int]
    now_ns: int


def grown(
    journal: OfflineJournal, now_ns: int | None = None, consumers: Collection[str] | None = None
) -> Grown:
    """Look at the ends of all segments. Blocks.

    `now_ns` is the time now if the journal is being written. `consumers` names the cursors that
    count; all that have a file if None.
    """
    found: list[tuple[Span, int]] = []
    used: dict[Stream, int] = {}
    largest: dict[Stream, int] = {}
    for stream in Stream:
        delivered = _delivered(journal, stream, consumers)
        for file in journal.segments(stream):
            size = journal.size(file)
            used[stream] = used.get(stream, 0) + size
            largest[stream] = max(largest.get(stream, 0), size)
            one = _span(journal, file, delivered, now_ns)
            found += [one] if one else []
    latest = now_ns or max((span.end_ns for span, _ in found), default=0)
    return Grown(_as_written(found), used, largest, latest)


def _delivered(
    journal: OfflineJournal, stream: Stream, consumers: Collection[str] | None
) -> tuple[int, int]:
    """Give the epoch and seq that all uplinks have passed; (0, 0) if there is none."""
    names = [name for name in journal.names("cursors") if name.endswith(".json")]
    places = []
    for name in names:
        if name.startswith(PLUGIN):
            continue
        if consumers is None or name.removesuffix(".json") in consumers:
            path = journal.directory / "cursors" / name
            data = journal.read_bytes(path, cursor_file.FILE_BYTES_MAX) or b""
            try:
                known = cursor_file.parse(data).get(stream)
            except ValueError:
                known = None
            at = known.place.position if known else Position(stream, 0, 0)
            places.append((at.epoch, at.seq))
    return min(places, default=(0, 0))


def _span(
    journal: OfflineJournal, file: SegmentFile, delivered: tuple[int, int], now_ns: int | None
) -> tuple[Span, int] | None:
    """Give one segment, and how many samples thinning took from it."""
    ends = journal.ends(file)
    if ends is not None:
        header, found = ends
        last = (file.place.epoch, found.last_seq)
        samples = found.samples + found.thinned
        times = header.created_ns, max(header.created_ns, found.sealed_ns)
        span = Span(file.stream, *times, found.file_bytes, samples, last > delivered)
        return span, found.thinned
    content = journal.read(file)
    if content is None or content.header is None:
        return None
    headers = [header for header, _ in content.found()]
    begin_ns = content.header.created_ns
    written = max((header.time_max_ns for header in headers), default=begin_ns)
    last = (file.place.epoch, headers[-1].seq if headers else 0)
    return (
        Span(
            file.stream,
            begin_ns,
            max(begin_ns, now_ns or written),
            content.records_end,
            sum(header.own for header in headers),
            last > delivered,
        ),
        0,
    )


def _as_written(found: Sequence[tuple[Span, int]]) -> list[Span]:
    """Give spans with the bytes of before any thinning, reckoned from those not thinned."""
    out = []
    for span, thinned in found:
        whole = [s for s, t in found if s.stream is span.stream and not t and s.samples]
        samples = sum(s.samples for s in whole)
        if thinned and samples:
            size = round(span.samples * sum(s.bytes for s in whole) / samples)
            out.append(span._replace(bytes=max(span.bytes, size)))
        else:
            out.append(span)
    return out


@dataclass
class Sample:
    """Batches of the newest segments: per schema what all of them took, and those to look at."""

    bytes: dict[int, int] = field(default_factory=dict)
    newest: dict[int, list[Record]] = field(default_factory=dict)
    schemas: dict[int, Schema] = field(default_factory=dict)
    thinnable: dict[int, list[tuple[Batch, float]]] = field(default_factory=dict)
    begin_ns: int = 0
    end_ns: int = 0


def sample(
    journal: OfflineJournal,
    stream: Stream = Stream.TELEMETRY,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sample:
    """Read the newest segments of a stream, from the newest backwards, as far as bounds allow."""
    out = Sample()
    columns = _Columns()
    done = batches = 0
    for file in reversed(journal.segments(stream)):
        content = journal.read(file)
        if content is None:
            continue
        done += len(content.data)
        records = [r for _, r in content.found() if r is not None]
        for record in records:
            if record.kind is RecordKind.SCHEMA:
                _learn(journal, record)
        fresh: dict[int, list[tuple[Batch, float]]] = {}
        for record in records:
            if record.kind is RecordKind.BATCH and not record.revision:
                batches += 1
                _take(out, journal, record, columns, fresh)
        for schema_id, found in fresh.items():
            out.thinnable[schema_id] = found + out.thinnable.get(schema_id, [])
        progress(done, SAMPLE_BYTES)
        span_s = (out.end_ns - out.begin_ns) / 1e9
        if done >= SAMPLE_BYTES or span_s >= SAMPLE_S or batches >= SAMPLE_BATCHES:
            break
    return out


def _learn(journal: OfflineJournal, record: Record) -> None:
    try:
        journal.schemas.take(record.payload)
    except JournalCorrupt:
        return


def _take(
    out: Sample,
    journal: OfflineJournal,
    record: Record,
    columns: _Columns,
    fresh: dict[int, list[tuple[Batch, float]]],
) -> None:
    """Count one batch, and keep of it what is to be looked at."""
    try:
        schema_id = peek_schema_id(record.payload)
        schema = journal.schemas.find(schema_id)
        if schema is None:
            return
        out.schemas[schema_id] = schema
        out.bytes[schema_id] = out.bytes.get(schema_id, 0) + record_bytes(len(record.payload))
        out.begin_ns = min(out.begin_ns or record.time_min_ns, record.time_min_ns)
        out.end_ns = max(out.end_ns, record.time_max_ns)
        newest = out.newest.setdefault(schema_id, [])
        if len(newest) < WHOLE_BATCHES:
            newest.append(record)
        if len(out.thinnable) < THIN_SCHEMAS or schema_id in out.thinnable:
            part = columns.part(decode_batch(record.payload, schema))
            fresh.setdefault(schema_id, []).append(part)
    except JournalCorrupt:
        return


class _Columns:
    """Cuts some tags out of batches; the same ones of each schema."""

    def __init__(self) -> None:
        self._chosen: dict[int, tuple[NDArray[np.intp], Schema]] = {}

    def part(self, batch: Batch) -> tuple[Batch, float]:
        """Give a batch of up to THIN_COLUMNS tags, evenly chosen, and their part of all."""
        schema = batch.schema
        known = self._chosen.get(schema.id)
        if known is None:
            count = min(THIN_COLUMNS, len(schema.tags))
            chosen = np.unique(np.linspace(0, len(schema.tags) - 1, count).astype(np.intp))
            tags = tuple(schema.tags[column] for column in chosen.tolist())
            known = (chosen, replace(schema, tags=tags))
            self._chosen[schema.id] = known
        chosen, fewer = known
        return cut(batch, chosen, fewer), len(chosen) / max(1, len(schema.tags))


def cut(batch: Batch, columns: NDArray[np.intp], fewer: Schema) -> Batch:
    """Give the batch with only these columns; `fewer` is the schema that has just these tags."""
    schema = batch.schema
    if batch.index is None:
        values = []
        for lane in fewer.lanes:
            whole = next(n for n, other in enumerate(schema.lanes) if other.type is lane.type)
            places = np.searchsorted(schema.lanes[whole].columns, columns[lane.columns])
            values.append(batch.values[whole][:, places])
        quality = None if batch.quality is None else batch.quality[:, columns]
        return Batch(fewer, batch.times_ns, batch.received_ns, tuple(values), quality)
    keep = np.isin(batch.index, columns)
    lane_of = schema.lane_of[batch.index]
    parts: dict[Any, NDArray[Any]] = {}
    for number, lane in enumerate(schema.lanes):
        parts[lane.type] = batch.values[number][keep[lane_of == number]]
    return Batch(
        fewer,
        batch.times_ns[keep],
        batch.received_ns[keep],
        tuple(parts[lane.type] for lane in fewer.lanes),
        None if batch.quality is None else batch.quality[keep],
        np.searchsorted(columns, batch.index[keep]).astype(np.uint32),
    )


def tag_costs(found: Sample) -> dict[tuple[str, str], float]:
    """Give what each (device, tag) took of the sample, in bytes: an estimate.

    Columns are compressed together, so each tag gets the part of the real bytes that its column
    takes when it is encoded alone.
    """
    out: dict[tuple[str, str], float] = {}
    encoder = BatchEncoder()
    left = TAGS_MEASURED
    for schema_id in sorted(found.bytes, key=lambda one: -found.bytes[one]):
        schema = found.schemas[schema_id]
        sizes = [0.0] * len(schema.tags)
        for record in found.newest[schema_id]:
            if left < len(schema.tags):
                break
            left -= len(schema.tags)
            try:
                batch = decode_batch(record.payload, schema)
            except JournalCorrupt:
                continue
            for column, size in enumerate(_alone(batch, encoder)):
                sizes[column] += size
        real = scaled(sizes, found.bytes[schema_id])
        for tag, part in zip(schema.tags, real, strict=True):
            key = (schema.source, tag.name)
            out[key] = out.get(key, 0.0) + part
    return out


def _alone(batch: Batch, encoder: BatchEncoder) -> Iterator[int]:
    """Give what each column takes when it is encoded by itself, without its times."""
    schema = batch.schema
    bare = len(encoder.encode([_only(batch, None)]))
    for column in range(len(schema.tags)):
        yield max(0, len(encoder.encode([_only(batch, column)])) - bare)


def _only(batch: Batch, column: int | None) -> Batch:
    """Give a dense batch of one column, or of none."""
    schema = batch.schema
    chosen = np.array([] if column is None else [column], np.intp)
    fewer = replace(schema, tags=tuple(schema.tags[one] for one in chosen.tolist()))
    found = cut(batch, chosen, fewer)
    if found.index is None:
        return found
    quality = None if found.quality is None else found.quality.reshape(-1, 1)
    values = tuple(lane.reshape(-1, 1) for lane in found.values)
    return Batch(fewer, found.times_ns, found.received_ns, values, quality)


def thinnings(found: Sample) -> list[Thinning]:
    """Thin the sample to each level and give what was left; levels longer than it are left out."""
    span_s = (found.end_ns - found.begin_ns) / 1e9
    return [_thinned(found, level, span_s) for level in LEVELS_S if span_s >= level]


def _thinned(found: Sample, level_s: int, span_s: float) -> Thinning:
    encoder = BatchEncoder()
    before = after = 0.0
    samples = left = 0
    for parts in found.thinnable.values():
        whole = [batch for batch, _ in parts]
        for (batch, share), thinned in zip(parts, thin(whole, level_s), strict=True):
            size = len(encoder.encode([batch])) + HEADER_BYTES * share
            smaller = len(encoder.encode([thinned])) + HEADER_BYTES * share
            worth = smaller < size
            before += size
            after += smaller if worth else size
            samples += batch.samples
            left += thinned.samples if worth else batch.samples
    return Thinning(level_s, round(before), round(after), samples, left, span_s)
