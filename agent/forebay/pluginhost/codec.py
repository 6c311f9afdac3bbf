"""Works and results as the messages of `plugin.proto`, and back.

Owns that translation: all numbers little-endian, columns as they lie in memory. Pure. Nothing of
what a plugin sent is believed: lengths, numbers of rows and types are checked before any is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay._proto import plugin_pb2 as pb
from forebay.errors import PluginMisbehaved
from forebay.model import ValueType
from forebay.pluginhost.seams import OutputColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.pluginhost.seams import Output, Work

_HINT = "its messages do not keep to plugin.proto: get another version of the plugin or of its SDK"
MAX_FAILURE_CHARACTERS = 1_000


def encode_work(work: Work, number: int) -> pb.Work:
    """Give the message of a work that is the `number`th."""
    message = pb.Work(id=number)
    for times in work.axes:
        message.axes.add(rows=len(times), times=_little(times, np.dtype(np.int64)))
    for one in work.series:
        series = message.series.add(input=one.input, axis=one.axis)
        if one.quality is not None:
            series.quality = _little(one.quality, np.dtype(np.uint32))
        if one.values.dtype != object:
            series.values = _little(one.values, one.values.dtype)
        elif len(one.values) and isinstance(one.values[0], bytes):
            series.blobs.extend(one.values.tolist())
        else:
            series.texts.extend(one.values.tolist())
    cut = work.windows
    message.windows.first = cut.first
    message.windows.begin_ns = _little(cut.begin_ns, np.dtype(np.int64))
    message.windows.end_ns = _little(cut.end_ns, np.dtype(np.int64))
    message.windows.rows = _little(cut.rows, np.dtype(np.uint32))
    return message


def decode_results(
    message: pb.Results, outputs: Sequence[Output], windows: int
) -> tuple[tuple[OutputColumn, ...], dict[int, str]]:
    """Give the columns of the answer to a work of so many windows, and failures by their place.

    Columns of an output that there is not come through without values: they are refused by what
    checks the results. PluginMisbehaved if a column does not fit its output, the work or itself.
    """
    failures = {
        one.window: _shown(one.reason[:MAX_FAILURE_CHARACTERS]) or "it does not say why"
        for one in message.failures
    }
    if max(failures, default=0) >= max(1, windows):
        raise _wrong(f"window {max(failures)} failed, of {windows}")
    return tuple(_column(column, outputs, windows) for column in message.columns), failures


def _column(column: pb.OutputColumn, outputs: Sequence[Output], windows: int) -> OutputColumn:
    if column.output >= len(outputs):
        return OutputColumn(column.output, np.empty(0, np.intp), np.empty(0, np.float64))
    output = outputs[column.output]
    values = _values(column, output)
    places = _places(column, output, len(values), windows)
    times = None
    if column.times:
        times = _array(column.times, np.dtype(np.int64), f"times of {output.name}")
        if len(times) != len(values):
            raise _wrong(f"{output.name} has {len(values)} values at {len(times)} times")
    elif (places[1:] == places[:-1]).any():
        raise _wrong(f"{output.name} has several values for a window and no times")
    quality = None
    if column.quality:
        quality = _array(column.quality, np.dtype(np.uint32), f"quality of {output.name}")
        if len(quality) != len(values):
            raise _wrong(f"{output.name} has {len(values)} values with {len(quality)} qualities")
    return OutputColumn(column.output, places, values, times, quality)


def _places(column: pb.OutputColumn, output: Output, rows: int, windows: int) -> NDArray[np.intp]:
    """Give the window of each row."""
    if not column.windows:
        if rows not in (0, windows):
            raise _wrong(f"{output.name} has {rows} values for {windows} windows, not said which")
        return np.arange(rows)
    places = _array(column.windows, np.dtype(np.uint32), f"windows of {output.name}")
    if len(places) != rows:
        raise _wrong(f"{output.name} has {rows} values of {len(places)} windows")
    if (places[1:] < places[:-1]).any():
        raise _wrong(f"{output.name} has windows that are not in order")
    if len(places) and places[-1] >= windows:
        raise _wrong(f"{output.name} is of window {places[-1]}, of {windows}")
    return places.astype(np.intp)


def _values(column: pb.OutputColumn, output: Output) -> NDArray[Any]:
    """Give the values in the output's type; the other two fields must be empty."""
    kind = output.type
    texts, blobs, raw = len(column.texts), len(column.blobs), len(column.values)
    if kind is ValueType.STRING:
        if blobs or raw:
            raise _wrong(f"{output.name} is of texts, and holds something else")
        return _objects(column.texts)
    if kind is ValueType.BYTES:
        if texts or raw:
            raise _wrong(f"{output.name} is of bytes, and holds something else")
        return _objects(column.blobs)
    if texts or blobs:
        raise _wrong(f"{output.name} is of numbers, and holds something else")
    if kind is ValueType.BOOL:
        return _array(column.values, np.dtype(np.uint8), output.name).astype(np.bool_)
    return _array(column.values, kind.dtype, output.name)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    out = np.empty(len(values), object)
    out[:] = list(values)
    return out


def _array(data: bytes, kind: np.dtype[Any], what: str) -> NDArray[Any]:
    """Give bytes as numbers, without a copy where the machine is little-endian; read-only."""
    if len(data) % kind.itemsize:
        raise _wrong(f"{len(data)} bytes for {what} are no whole number of {kind.name}")
    return np.frombuffer(data, kind.newbyteorder("<")).astype(kind, copy=False)


def _little(values: NDArray[Any], kind: np.dtype[Any]) -> bytes:
    return values.astype(kind.newbyteorder("<"), copy=False).tobytes()


def _shown(text: str) -> str:
    """Give a text without control characters, which could rule the terminal of who reads it."""
    return "".join(c if c.isprintable() else " " for c in text)


def _wrong(what: str) -> PluginMisbehaved:
    return PluginMisbehaved(what, hint=_HINT)
