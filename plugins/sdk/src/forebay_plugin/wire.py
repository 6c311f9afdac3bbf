"""Messages of `plugin.proto` to windows. Pure.

Owns the byte layouts of what comes in, which is checked before it is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.plugin import Input, Output, Setup
from forebay_plugin.types import Kind, Type, as_column
from forebay_plugin.window import Columns, Series, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin._proto import plugin_pb2 as pb


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


def to_windows(work: pb.Work, inputs: Sequence[Input]) -> Windows:
    """Cut the windows of `work`; their arrays are views of the message's bytes.

    Raises:
        ProtocolError: a length or an index does not fit.
    """
    axes, series, on = _axes(work), [], []
    for entry in work.series:
        if entry.input >= len(inputs) or entry.axis >= len(axes):
            raise ProtocolError(f"series of input {entry.input} on axis {entry.axis}: unknown")
        series.append(_to_series(entry, inputs[entry.input], axes[entry.axis]))
        on.append(entry.axis)
    return _cut(work.windows, Columns(axes, series, on))


def to_spans(work: pb.Work) -> Windows:
    """Cut the windows of `work` without what is in them. Raises ProtocolError as `to_windows`."""
    return _cut(work.windows, Columns(_axes(work), [], []))


def _axes(work: pb.Work) -> list[npt.NDArray[np.int64]]:
    return [_array(axis.times, np.dtype("<i8"), axis.rows, "times") for axis in work.axes]


def _cut(cut: pb.Windows, columns: Columns) -> Windows:
    count, axes = len(cut.begin_ns) // 8, columns.axes
    begin_ns = _array(cut.begin_ns, np.dtype("<i8"), count, "begin_ns")
    end_ns = _array(cut.end_ns, np.dtype("<i8"), count, "end_ns")
    rows = _array(cut.rows, np.dtype("<u4"), count * len(axes) * 2, "rows of windows")
    rows = rows.astype(np.int64).reshape(count, len(axes), 2)
    if (rows.sum(axis=2) > np.array([len(axis) for axis in axes], np.int64)).any():
        raise ProtocolError("a window has rows beyond its axis")
    return Windows(cut.first, begin_ns, end_ns, columns, rows)


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
