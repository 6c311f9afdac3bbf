"""Values of one tag as a person reads them: scaled, with quality and both times.

Owns the reading side of a batch, in the order of time (`query`) and in that of positions
(`ordered`). Must not know how it is shown (`cli`).
"""

from __future__ import annotations

import heapq
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.decode import decode_batch
from forebay_fleet.errors import UsageError
from forebay_fleet.mending import LAST, mended
from forebay_fleet.statuscodes import NAMES
from forebay_fleet.store.history import Place
from forebay_fleet.walking import GatewayHistory
from forebay_fleet.watermark import Watermark, watermarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.history import RecordRow
    from forebay_fleet.store.reader import StoreReader

BAD = 0x8000_0000
"""Set in a StatusCode that says there is no value (OPC UA Part 4, 7.39)."""


class Clock(StrEnum):
    """What is known of the clock that stamped a value at the gateway.

    MENDED: nothing had set it, and the times given are corrected. UNSYNCED: nothing had set it, and
    nobody can know how wrong the times are.
    """

    RIGHT = ""
    MENDED = "mended"
    UNSYNCED = "unsynced"


class Value(NamedTuple):
    """One sample.

    `value` is None where the quality is bad; `raw * scale + offset` if the tag is scaled, else the
    raw value. `epoch` and `seq` are the position of its record.
    """

    time_ns: int
    received_ns: int
    value: bool | int | float | str | bytes | None
    quality: int
    clock: Clock
    epoch: int
    seq: int


class Answer(NamedTuple):
    """Values in the order of their source times, and the unit in the newest one's schema."""

    values: list[Value]
    unit: str


class Page(NamedTuple):
    """Values in the order of positions, and where to go on.

    `after` is the (epoch, seq) to ask for next. `watermark` is that of the tag's stream; None if
    nothing of the tag was ever stored.
    """

    values: list[Value]
    unit: str
    after: tuple[int, int]
    watermark: Watermark | None


class TagHistory(GatewayHistory):
    """One tag of one gateway: where its values are, and which clocks stamped them."""

    def __init__(
        self, reader: StoreReader, gateway: str, path: str, *, raw_times: bool = False
    ) -> None:
        """Find the tag `path` (DEVICE/TAG); with `raw_times` no time is mended.

        Raises:
            UsageError: no such gateway or tag.
            DecodingError: the store holds a schema or an anchor that cannot be read.
        """
        super().__init__(reader, gateway, raw_times=raw_times)
        self.device, slash, self.tag = path.partition("/")
        self.columns = [
            (self.schema(schema_id), column)
            for schema_id, column in self.history.columns(self.gateway_id, self.device, self.tag)
        ]
        if not self.columns:
            hint = "names are case-sensitive" if slash else "write DEVICE/TAG"
            raise UsageError(f"no tag {path!r} on {gateway}", hint=hint)

    @classmethod
    def of(
        cls, whole: GatewayHistory, path: str, columns: Sequence[tuple[SchemaView, int]]
    ) -> TagHistory:
        """Give a tag whose columns are known, of a gateway that was looked up."""
        tag = cls.__new__(cls)
        tag.__dict__.update(whole.__dict__)
        tag.device, _, tag.tag = path.partition("/")
        tag.columns = list(columns)
        return tag

    def values(self, record: RecordRow, schema: SchemaView, column: int) -> Iterator[Value]:
        """Give one column of a batch as people read it. DecodingError if it cannot be read."""
        series = decode_batch(record.payload, schema).series(column)
        tag = schema.message.tags[column]
        plain = tag.scale == 1.0 and tag.offset == 0.0
        clock, times_ns, received_ns = Clock.RIGHT, series.times_ns, series.received_ns
        stretch = self.clocks.at(record.line, record.seq)
        if stretch is not None:
            clock = Clock.UNSYNCED
            if stretch.correction_ns is not None and not self.raw_times:
                clock = Clock.MENDED
                times_ns, received_ns = mended(times_ns, received_ns, stretch.correction_ns)
        at = (clock, self.lines[record.line].epoch, record.seq)
        columns = (times_ns, received_ns, series.values, series.quality)
        for time_ns, received, raw, quality in zip(*(c.tolist() for c in columns), strict=True):
            if quality & BAD:
                yield Value(time_ns, received, None, quality, *at)
            elif plain or isinstance(raw, str | bytes):
                yield Value(time_ns, received, raw, quality, *at)
            else:
                yield Value(time_ns, received, float(raw) * tag.scale + tag.offset, quality, *at)


def quality_name(quality: int) -> str:
    """Give a StatusCode's name, its number in hexadecimal where it has none here."""
    return NAMES.get(quality >> 16, f"0x{quality:08X}")


def size_bytes(value: Value) -> int:
    """Give what a text or a blob takes; 0 for a number."""
    return len(value.value) if isinstance(value.value, str | bytes) else 0


def query(
    history: TagHistory, span_ns: tuple[int, int], limit: int, most_bytes: int = 1 << 62
) -> Answer:
    """Give the newest `limit` values of a tag.

    Source times lie in `span_ns`, both ends inclusive.

    Raises:
        DecodingError: the store holds a batch that cannot be read.
        UsageError: texts or blobs of more than `most_bytes`.
    """
    room = most_bytes
    found: list[Value] = []
    unit, unit_ns = "", -1
    for schema, column in history.columns:
        values = []
        for value in _newest(history, (schema, column), span_ns, limit):
            room -= size_bytes(value)
            if room < 0:
                raise UsageError(
                    f"texts or blobs of more than {most_bytes >> 20} MiB", hint="lower the limit"
                )
            values.append(value)
        if values and max(v.time_ns for v in values) > unit_ns:
            unit = schema.message.tags[column].unit
            unit_ns = max(v.time_ns for v in values)
        found.extend(values)
    found.sort(key=lambda value: (value.time_ns, value.received_ns))
    return Answer(found[-limit:], unit)


def _newest(
    history: TagHistory, place: tuple[SchemaView, int], span_ns: tuple[int, int], limit: int
) -> Iterator[Value]:
    """Give at least the newest `limit` values of one column, from as few batches as that takes."""
    schema, column = place
    newest: list[int] = []  # a heap of the newest source times, at most `limit`
    for record in history.batches(schema, span_ns):
        # Batches come by their ends, so once `limit` values lie beyond this one's end, no older
        # value matters.
        if len(newest) == limit and newest[0] > history.end_ns(record):
            return
        for value in history.values(record, schema, column):
            if span_ns[0] <= value.time_ns <= span_ns[1]:
                if len(newest) < limit:
                    heapq.heappush(newest, value.time_ns)
                else:
                    heapq.heappushpop(newest, value.time_ns)
                yield value


def ordered(
    history: TagHistory, after: tuple[int, int], limit: int, most_bytes: int = 1 << 62
) -> Page:
    """Give values in the order of positions (epoch, seq), behind `after` and up to the watermark.

    An older epoch of which this server first heard when a younger one had records comes behind it.

    At least `limit` of them if there are so many, fewer where texts and blobs come to `most_bytes`,
    always those of whole records: what follows is behind `Page.after`. A record that came late, for
    a position that a Gap had accounted for, may be behind a reader already.

    Raises:
        DecodingError: the store holds a batch that cannot be read.
    """
    stream = _stream(history)
    lines = history.reader.lines(history.gateway)
    mark = next((mark for mark in watermarks(lines) if mark.stream == stream), None)
    values: list[Value] = []
    unit, reached, room = "", after, most_bytes
    of_stream = [line for line in history.lines.values() if line.stream == stream]
    places = {line.epoch: line.place for line in of_stream}

    def order(epoch: int, seq: int = 0) -> tuple[int, int, int]:
        return places.get(epoch, epoch), epoch, seq

    for line in of_stream:
        if mark is None or not order(after[0]) <= order(line.epoch) <= order(mark.epoch):
            continue
        first = after[1] + 1 if line.epoch == after[0] else 1
        last = mark.seq if line.epoch == mark.epoch else LAST
        for record, (schema, column) in _by_position(history, Place(line.id, first, last)):
            if len(values) >= limit or room <= 0:
                return Page(values, unit, reached, mark)
            own = list(history.values(record, schema, column))
            values += own
            room -= sum(map(size_bytes, own))
            unit, reached = schema.message.tags[column].unit, (line.epoch, record.seq)
    if mark is not None and order(*reached) < order(*mark.position):
        reached = mark.position
    return Page(values, unit, reached, mark)


def _stream(history: TagHistory) -> int | None:
    """Give the stream of a tag, which is always the same; None if nothing of it was stored."""
    for schema, _ in history.columns:
        everything = (-LAST, LAST)
        for record in history.history.newest(history.gateway_id, schema.message.id, everything):
            return history.lines[record.line].stream
    return None


def _by_position(
    history: TagHistory, place: Place
) -> Iterator[tuple[RecordRow, tuple[SchemaView, int]]]:
    """Walk all batches of a place that hold the tag, with its column in them."""
    walks: Sequence[Iterator[tuple[RecordRow, tuple[SchemaView, int]]]] = [
        _with(history.history.ordered(place, schema.message.id), (schema, column))
        for schema, column in history.columns
    ]
    return heapq.merge(*walks, key=lambda found: found[0].seq)


def _with(
    records: Iterator[RecordRow], column: tuple[SchemaView, int]
) -> Iterator[tuple[RecordRow, tuple[SchemaView, int]]]:
    for record in records:
        yield record, column
