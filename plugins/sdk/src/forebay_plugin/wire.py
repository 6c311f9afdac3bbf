"""Messages of `plugin.proto` to windows, and results to messages. Pure.

Owns byte layouts. What comes in is checked before it is used, what goes out against `Setup`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.plugin import Input, Output, Result, Results, Setup
from forebay_plugin.types import BAD, Kind, Type, as_column
from forebay_plugin.window import Columns, Series, Window

if TYPE_CHECKING:
    from forebay_plugin.plugin import Value

FAILURE_CHARS_MAX = 2000
_F8, _F4 = struct.Struct("<d").pack, struct.Struct("<f").pack
_F4_MOST = 3e38


class ProtocolError(Exception):
    """The host sent what the protocol does not allow: nothing can be computed from it."""


def to_setup(message: pb.Setup) -> Setup:
    """Read what a plugin is set up with."""
    return Setup(
        plugin=message.plugin,
        settings=json.loads(message.settings_json or "{}"),
        inputs=tuple(
            Input(entry.role, entry.tag, Type(entry.type), entry.unit) for entry in message.inputs
        ),
        outputs=tuple(
            Output(entry.name, Kind(entry.kind), Type(entry.type), entry.unit)
            for entry in message.outputs
        ),
        deadline_s=message.deadline_ms / 1000,
        max_message_bytes=message.max_message_bytes or Setup.max_message_bytes,
        state_directory=Path(message.state_directory),
        model_directory=Path(message.model_directory) if message.model_directory else None,
        replay=message.replay,
    )


def to_windows(work: pb.Work, inputs: Sequence[Input]) -> list[Window]:
    """Cut the windows of `work`; their arrays are views of the message's bytes.

    Raises:
        ProtocolError: a length or an index does not fit.
    """
    axes = [_array(axis.times, np.dtype("<i8"), axis.rows, "times") for axis in work.axes]
    series, on = [], []
    for entry in work.series:
        if entry.input >= len(inputs) or entry.axis >= len(axes):
            raise ProtocolError(f"series of input {entry.input} on axis {entry.axis}: unknown")
        series.append(_to_series(entry, inputs[entry.input], axes[entry.axis]))
        on.append(entry.axis)
    columns = Columns(axes, series, on)
    return [_to_window(window, columns) for window in work.windows]


def _to_window(window: pb.Window, columns: Columns) -> Window:
    ranges = [(entry.first, entry.count) for entry in window.ranges]
    if len(ranges) != len(columns.axes):
        raise ProtocolError(f"{len(ranges)} ranges for {len(columns.axes)} axes")
    for (first, count), axis in zip(ranges, columns.axes, strict=True):
        if first + count > len(axis):
            raise ProtocolError(f"rows {first} to {first + count} of {len(axis)}")
    return Window(window.number, window.begin_ns, window.end_ns, columns, ranges)


def _to_series(entry: pb.Series, source: Input, times: npt.NDArray[np.int64]) -> Series:
    rows = len(times)
    if entry.quality:
        quality = _array(entry.quality, np.dtype("<u4"), rows, "quality")
    else:
        quality = np.zeros(rows, np.uint32)
    if source.type.is_number:
        values = _array(entry.values, source.type.dtype, rows, source.tag)
    else:
        held = entry.texts if source.type is Type.STRING else entry.blobs
        if len(held) != rows:
            raise ProtocolError(f"{source.tag}: {len(held)} values for {rows} rows")
        values = as_column(held, source.type)
    return Series(source, times, values, quality)


def _array(data: bytes, dtype: np.dtype[Any], rows: int, what: str) -> npt.NDArray[Any]:
    if len(data) != rows * dtype.itemsize:
        raise ProtocolError(f"{what}: {len(data)} bytes for {rows} rows of {dtype}")
    return np.frombuffer(data, dtype)


def from_results(results: Results, window: Window, outputs: Sequence[Output]) -> pb.WindowResults:
    """Encode what a plugin gave for one window.

    Raises:
        ValueError: an unknown output, a value that its type cannot hold, lengths that differ.
    """
    columns = []
    for result in _listed(results):
        for index, output in enumerate(outputs):
            if output.name == result.output:
                columns.append(_of_number(result, index, output) or _of(result, index, output))
                break
        else:
            known = ", ".join(output.name for output in outputs) or "none"
            raise ValueError(f"there is no output {result.output!r} in the manifest (has: {known})")
    return pb.WindowResults(number=window.number, columns=columns)


def _of_number(result: Result, index: int, output: Output) -> pb.OutputColumn | None:
    """Encode what most windows give, one good number without a time; None for anything else."""
    value = result.value
    if type(value) is not float or type(result.quality) is not int or result.quality:
        return None
    if result.times_ns is not None or result.values is not None:
        return None
    if output.type is Type.FLOAT64:
        return pb.OutputColumn(output=index, values=_F8(value))
    if output.type is Type.FLOAT32 and abs(value) < _F4_MOST:
        return pb.OutputColumn(output=index, values=_F4(value))
    return None


def _listed(results: Results) -> list[Result]:
    if results is None:
        return []
    if isinstance(results, Mapping):
        return [Result(name, value) for name, value in results.items() if value is not None]
    return list(results)


def _of(result: Result, index: int, output: Output) -> pb.OutputColumn:
    if (result.value is None) == (result.values is None):
        raise ValueError(f"{output.name}: give either value or values")
    try:
        values = as_column([result.value] if result.values is None else result.values, output.type)
    except ValueError as wrong:
        raise ValueError(f"{output.name}: {wrong}") from wrong
    column = pb.OutputColumn(output=index)
    rows = len(values)
    if result.times_ns is not None:
        times = np.atleast_1d(np.asarray(result.times_ns)).astype("<i8", casting="same_kind")
        column.times = _fitting(times, rows, output).tobytes()
    elif rows != 1:
        raise ValueError(f"{output.name}: {rows} values need times_ns")
    quality = np.asarray(result.quality).astype("<u4")
    quality = _fitting(quality if quality.ndim else np.full(rows, quality), rows, output)
    if quality.any():
        column.quality = quality.tobytes()
        values = np.where((quality & np.uint32(BAD)) == 0, values, _nothing(output.type))
    if output.type is Type.STRING:
        column.texts.extend(values)
    elif output.type is Type.BYTES:
        column.blobs.extend(values)
    else:
        column.values = values.astype(output.type.dtype).tobytes()
    return column


def _nothing(of: Type) -> Value:
    return "" if of is Type.STRING else b"" if of is Type.BYTES else of.dtype.type(0)


def _fitting(column: npt.NDArray[Any], rows: int, output: Output) -> npt.NDArray[Any]:
    if column.shape != (rows,):
        raise ValueError(f"{output.name}: {column.shape} times or qualities for {rows} values")
    return column


def failed(window: Window, why: str) -> pb.WindowResults:
    """The answer that one window could not be worked on."""
    return pb.WindowResults(number=window.number, failure=(why or "failed")[:FAILURE_CHARS_MAX])


def within(message: pb.Results, max_bytes: int) -> pb.Results:
    """Make `message` fit: the results of its largest windows become failures that say so."""
    order = sorted(message.windows, key=lambda window: -window.ByteSize())
    for window in order:
        size = message.ByteSize()
        if size <= max_bytes:
            break
        del window.columns[:]
        window.failure = f"results of {size} bytes, over the limit of {max_bytes}"
    return message
