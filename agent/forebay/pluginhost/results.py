"""What a plugin gave, checked, as batches for the journal and requests for the gate.

Owns the schemas of results and what of them may stand. Pure. Nothing that a plugin says is
believed, and nothing is refused in silence: the verdict counts it by reason.

Each batch ends with a sample of the hidden tag `_window`: the number of the last window whose
results are in it or before it. After a kill it says which windows' results stand in the journal.
"""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.model import (
    BAD_SEVERITY,
    MAX_BLOB_BYTES,
    MAX_STRING_BYTES,
    Batch,
    Quality,
    Schema,
    Stream,
    Tag,
    ValueType,
)
from forebay.pluginhost.rows import blank, greatest
from forebay.pluginhost.seams import OutputKind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.clock import Stamp
    from forebay.pluginhost.seams import Cut, Output, OutputColumn, Results, Work

RESULTS, EVENTS, BLOBS = "results", "events", "blobs"
"""Groups of an instance's schemas: derived tags in `telemetry`, texts in `events`, bytes in `bulk`.
"""
WINDOW = "_window"
"""The hidden tag: no output can be called so."""
BESIDE_NS = 3_600_000_000_000
"""How far a result's time may be outside of its window."""
SEVERITY = 500
"""Of an event that does not say how severe it is (OPC UA Part 5, 6.4.2: 1 to 1000)."""

_EVENT_COLUMNS = (
    Tag("id", "", ValueType.STRING),
    Tag("type", "", ValueType.STRING),
    Tag("source", "", ValueType.STRING),
    Tag("message", "", ValueType.STRING),
    Tag("severity", "", ValueType.UINT16),
    Tag("condition", "", ValueType.STRING),
    Tag("active", "", ValueType.BOOL),
    Tag("acked", "", ValueType.BOOL),
    Tag(WINDOW, "", ValueType.INT64),
)
"""Named and typed as the columns of a device's events are."""
_NO_DATA = 0x809B_0000


class Shapes(NamedTuple):
    """The schemas of one instance's results; None where it has no such output."""

    results: Schema | None
    events: Schema | None
    blobs: Schema | None

    def all(self) -> tuple[tuple[Stream, Schema], ...]:
        """Give each schema with its stream."""
        streams = Stream.TELEMETRY, Stream.EVENTS, Stream.BULK
        return tuple(
            (stream, one) for stream, one in zip(streams, self, strict=True) if one is not None
        )


class Asked(NamedTuple):
    """A value that a plugin wants written: of `output`, for window `number`, to DEVICE/TAG."""

    output: Output
    number: int
    end_ns: int
    value: bool | int | float | str


class Piece(NamedTuple):
    """Samples of one output that may stand, all of shape (rows,).

    `windows` is the place of each row's window in its work, never descending.
    """

    output: int
    windows: NDArray[np.intp]
    times_ns: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32]

    @property
    def nbytes(self) -> int:
        """What they take, about."""
        return nbytes_of(self.values)

    def where(self, kept: NDArray[np.bool_] | slice) -> Piece:
        """Give some of the rows."""
        return Piece(
            self.output,
            self.windows[kept],
            self.times_ns[kept],
            self.values[kept],
            self.quality[kept],
        )

    def of(self, begin: int, end: int) -> Piece:
        """Give the rows of the windows from `begin` up to `end`."""
        low, high = np.searchsorted(self.windows, (begin, end))
        return self.where(slice(int(low), int(high)))


def nbytes_of(values: NDArray[Any]) -> int:
    """Give what samples of these values take with times and qualities, about."""
    each = 12 * len(values)
    return each + (sum(map(len, values)) if values.dtype == object else values.nbytes)


def bytes_of_rows(values: NDArray[Any]) -> NDArray[np.int64]:
    """Give the same of each row: (rows,)."""
    if values.dtype != object:
        return np.full(len(values), 12 + values.itemsize, np.int64)
    return np.fromiter((12 + len(value) for value in values), np.int64, len(values))


def results_schemas(name: str, outputs: Sequence[Output]) -> Shapes:
    """Give the schemas of the results of the instance `name`."""
    marker = Tag(WINDOW, "", ValueType.INT64)

    def of(kind: OutputKind, group: str) -> Schema | None:
        tags = tuple(Tag(o.name, "", o.type, o.unit) for o in outputs if o.kind is kind)
        return Schema(name, group, (*tags, marker)) if tags else None

    events = any(output.kind is OutputKind.EVENT for output in outputs)
    return Shapes(
        of(OutputKind.TAG, RESULTS),
        Schema(name, EVENTS, _EVENT_COLUMNS) if events else None,
        of(OutputKind.BLOB, BLOBS),
    )


def checked(
    work: Work, results: Results, outputs: Sequence[Output], refused: Counter[str]
) -> list[Piece]:
    """Give what of results may stand, and count the rest in `refused` by its reason.

    A number that is none (NaN, infinite) stands as Bad, one that is out of the output's range as
    BadOutOfRange; both are counted. Of windows that failed nothing is taken.
    """
    lasts = last_moments(work) if results.columns else np.empty(0, np.int64)
    failed = sorted(results.failures)
    found = (_check(one, work.windows, lasts, outputs, failed, refused) for one in results.columns)
    return [piece for piece in found if piece is not None]


def _check(
    column: OutputColumn,
    windows: Cut,
    lasts: NDArray[np.int64],
    outputs: Sequence[Output],
    failed: Sequence[int],
    refused: Counter[str],
) -> Piece | None:
    if column.output >= len(outputs):
        refused["unknown output"] += max(1, len(column.values))
        return None
    output, of = outputs[column.output], column.windows
    times = column.times_ns
    if times is None:
        times = lasts[of]
    kept = times >= windows.begin_ns[of] - BESIDE_NS
    kept &= times < windows.end_ns[of] + BESIDE_NS
    refused["time outside of its window"] += len(kept) - int(np.count_nonzero(kept))
    values = column.values
    if values.dtype == object:
        fits = _short(values, output.type)
        refused["too long"] += int(np.count_nonzero(kept & ~fits))
        kept &= fits
    if failed:
        kept &= ~np.isin(of, failed)
    quality = np.zeros(len(values), np.uint32) if column.quality is None else column.quality
    piece = Piece(column.output, of, times, values, quality)
    if not kept.all():
        piece = piece.where(kept)
    if not len(piece.values):
        return None
    if values.dtype != object:
        numbers, quality = _numbers(piece.values, piece.quality, output, refused)
        piece = piece._replace(values=numbers, quality=quality)
    return piece


def _short(values: NDArray[Any], kind: ValueType) -> NDArray[np.bool_]:
    if kind is ValueType.BYTES:
        return np.array([len(value) <= MAX_BLOB_BYTES for value in values], np.bool_)
    return np.array([len(value.encode()) <= MAX_STRING_BYTES for value in values], np.bool_)


def _numbers(
    values: NDArray[Any], quality: NDArray[np.uint32], output: Output, refused: Counter[str]
) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Mark what is no number or out of range, and take the value from what is bad."""
    valued = (quality & np.uint32(BAD_SEVERITY)) == 0
    nowhere = valued & ~np.isfinite(values)
    beyond = np.zeros(len(values), np.bool_)
    with np.errstate(invalid="ignore"):
        if output.least is not None:
            beyond |= values < output.least
        if output.most is not None:
            beyond |= values > output.most
    beyond &= valued & ~nowhere
    refused["not finite"] += int(np.count_nonzero(nowhere))
    refused["out of range"] += int(np.count_nonzero(beyond))
    bad = ~valued | nowhere | beyond
    if bad.any():
        quality = np.where(nowhere, np.uint32(Quality.BAD), quality)
        quality = np.where(beyond, np.uint32(Quality.BAD_OUT_OF_RANGE), quality).astype(np.uint32)
        values = np.where(bad, np.zeros(1, values.dtype), values)
    return values, quality


def last_moments(work: Work) -> NDArray[np.int64]:
    """Give for each window its last moment of data, ns; the end of one without any."""
    nothing = np.iinfo(np.int64).min
    found = np.full(len(work.windows), nothing)
    for axis, times in enumerate(work.axes):
        rows = work.windows.rows[:, axis]
        np.maximum(found, greatest(times, rows[:, 0], rows[:, 1], nothing), out=found)
    return np.where(found == nothing, work.windows.end_ns, found)


def sparse(
    schema: Schema, stream: Stream, pieces: Sequence[tuple[int, Piece]], number: int, now: Stamp
) -> Batch:
    """Give pieces, each with its column of `schema`, as one batch that ends with its marker.

    It has the order of the windows. The marker says `number`, at the time of the last sample.
    """
    counts = [len(piece.values) for _, piece in pieces]
    rows = sum(counts) + 1
    marker = len(schema.tags) - 1
    order = np.argsort(np.concatenate([piece.windows for _, piece in pieces]), kind="stable")
    columns = np.repeat([column for column, _ in pieces], counts)[order]
    index = np.append(columns, marker).astype(np.uint32)
    times = np.concatenate([piece.times_ns for _, piece in pieces])[order]
    times = np.append(times, times[-1])
    lanes = []
    for lane in schema.lanes:
        here = [schema.tags[column].type is lane.type for column, _ in pieces]
        mine = [
            piece.values.astype(lane.type.dtype, copy=False)
            for (_, piece), there in zip(pieces, here, strict=True)
            if there
        ]
        values = _in_order(mine, np.repeat(here, counts), order) if mine else blank(lane.type, 0)
        if lane.type is ValueType.INT64:
            values = np.append(values, np.int64(number))
        lanes.append(values)
    quality = np.concatenate([piece.quality for _, piece in pieces])[order]
    quality = np.append(quality, np.uint32(0))
    return Batch(
        schema,
        times,
        np.full(rows, now.wall_ns, np.int64),
        tuple(lanes),
        quality if quality.any() else None,
        index,
        np.full(rows, now.boottime_ns, np.int64),
        stream,
    )


def _in_order(
    values: Sequence[NDArray[Any]], here: NDArray[np.bool_], order: NDArray[np.intp]
) -> NDArray[Any]:
    """Give the values of one lane, which are `here` among all rows, as `order` orders all."""
    place = np.cumsum(here) - 1
    found: NDArray[Any] = np.concatenate(values)[place[order[here[order]]]]
    return found


def events(schema: Schema, pieces: Sequence[Piece], outputs: Sequence[Output], first: int,
           number: int, now: Stamp) -> Batch:  # fmt: skip
    """Give texts as events, one a row; the last row is marked with `number`.

    `first` is the number of the work's first window. An event's id is made of its instance, window,
    output and place among those, so the same one has the same.
    """
    told = [
        (window, outputs[piece.output].name, time_ns, text)
        for piece in pieces
        for window, time_ns, text in zip(
            piece.windows.tolist(), piece.times_ns.tolist(), piece.values.tolist(), strict=True
        )
    ]
    rows: list[list[Any]] = []
    times: list[int] = []
    seen: dict[tuple[int, str], int] = {}
    for window, name, time_ns, text in sorted(told, key=itemgetter(0)):
        place = seen[window, name] = seen.get((window, name), -1) + 1
        id_ = f"{schema.source}-{first + window}-{name}-{place}"
        rows.append([id_, name, *_event(schema.source, text), first + window])
        times.append(time_ns)
    rows[-1][-1] = number
    quality = np.array([[_NO_DATA if c is None else 0 for c in row] for row in rows], np.uint32)
    lanes = []
    for lane in schema.lanes:
        values = np.full((len(rows), len(lane.columns)), "" if lane.type is ValueType.STRING else 0,
                         lane.type.dtype)  # fmt: skip
        for row, cells in enumerate(rows):
            for place, column in enumerate(lane.columns.tolist()):
                if cells[column] is not None:
                    values[row, place] = cells[column]
        lanes.append(values)
    return Batch(
        schema,
        np.array(times, np.int64),
        np.full(len(rows), now.wall_ns, np.int64),
        tuple(lanes),
        quality if quality.any() else None,
        boottime_ns=np.full(len(rows), now.boottime_ns, np.int64),
        stream=Stream.EVENTS,
    )


def _event(source: str, text: str) -> tuple[str, str, int, str | None, bool | None, bool | None]:
    """Give source, message, severity, condition, active and acked of an event's text.

    A text that is a JSON object with a `message` says them; any other is the message itself.
    """
    told: Any = None
    if text.startswith("{"):
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return source, text, SEVERITY, None, None, None

    # JSON may escape half a surrogate pair, which no UTF-8 holds and no record could.
    def said(key: str, kind: type) -> Any:  # noqa: ANN401 - a value of `kind`, or None
        value = told.get(key)
        if type(value) is not kind:
            return None
        return value.encode(errors="replace").decode() if isinstance(value, str) else value

    severity = said("severity", int)
    return (
        said("source", str) or source,
        said("message", str),
        SEVERITY if severity is None else min(1000, max(1, severity)),
        said("condition", str),
        said("active", bool),
        said("acked", bool),
    )


def asked(pieces: Sequence[Piece], outputs: Sequence[Output], windows: Cut,
          refused: Counter[str]) -> list[Asked]:  # fmt: skip
    """Give what is to be written: of each window and output the last good sample."""
    found = []
    for number in dict.fromkeys(piece.output for piece in pieces):
        mine = [piece for piece in pieces if piece.output == number]
        of = np.concatenate([piece.windows for piece in mine])
        quality = np.concatenate([piece.quality for piece in mine])
        values = np.concatenate([piece.values for piece in mine])
        order = np.argsort(of, kind="stable")
        order = order[(quality[order] & np.uint32(BAD_SEVERITY)) == 0]
        of = of[order]
        last = np.flatnonzero(np.append(of[1:] != of[:-1], np.ones(len(of[:1]), np.bool_)))
        if len(last) < len(of):
            refused["more than one write of an output in a window"] += len(of) - len(last)
        for place, row in zip(of[last].tolist(), order[last].tolist(), strict=True):
            value = values[row]
            value = value.item() if hasattr(value, "item") else value
            end_ns = int(windows.end_ns[place])
            found.append(Asked(outputs[number], windows.first + place, end_ns, value))
    return sorted(found, key=lambda one: one.number)
