"""What a plugin gave for the windows of one work, as columns of one message. Pure.

Owns the byte layouts of what goes out, which is checked against `Setup`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.plugin import Result
from forebay_plugin.types import BAD, Type, as_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin.plugin import Output, Results, Table, Value
    from forebay_plugin.window import Window

FAILURE_CHARS_MAX = 2000
_F4_MOST = 3e38


class _Part(NamedTuple):
    """Checked samples of one output; `times_ns` None: at the last moment of each window."""

    output: int
    places: npt.NDArray[np.intp]
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint32]
    times_ns: npt.NDArray[np.int64] | None = None

    def without(self, places: Sequence[int]) -> _Part:
        kept = ~np.isin(self.places, places)
        times = None if self.times_ns is None else self.times_ns[kept]
        return _Part(self.output, self.places[kept], self.values[kept], self.quality[kept], times)


class Answers:
    """Takes the results of windows one by one, in order, or as a table; gives the message."""

    def __init__(self, windows: Sequence[Window], outputs: Sequence[Output]) -> None:
        self._windows, self._outputs = windows, outputs
        self._index = {output.name: index for index, output in enumerate(outputs)}
        self._parts: list[_Part] = []
        self._plain: dict[int, tuple[list[int], list[float]]] = {}
        self._failures: dict[int, str] = {}

    def add(self, place: int, results: Results) -> None:
        """Take what a plugin gave for the window at `place`; all of it, or nothing.

        Raises:
            ValueError: an unknown output, a value that its type cannot hold, lengths that differ.
        """
        plain: list[tuple[int, float]] = []
        parts: list[_Part] = []
        listed = _listed(results)
        for result in listed:
            index = self._of(result.output)
            output = self._outputs[index]
            if type(result.value) is float and _is_plain(result, output):
                plain.append((index, result.value))
            else:
                parts.append(_part(result, index, output, place))
        if parts and not {index for index, _ in plain}.isdisjoint(part.output for part in parts):
            indices = [self._of(result.output) for result in listed]  # in the order as given
            parts = [
                _part(result, index, self._outputs[index], place)
                for result, index in zip(listed, indices, strict=True)
            ]
            plain = []
        for index, value in plain:
            places, values = self._plain.setdefault(index, ([], []))
            places.append(place)
            values.append(value)
        self._parts += parts

    def add_table(self, table: Table) -> None:
        """Take a table for all windows; all of it, or nothing.

        Raises:
            ValueError: as `add`.
        """
        parts = []
        bad = (table.quality & np.uint32(BAD)) != 0
        for name, given in table.columns.items():
            index = self._of(name)
            output = self._outputs[index]
            values = np.where(bad, _nothing(output.type), given) if bad.any() else given
            values = as_column(values, output.type)
            parts.append(_Part(index, table.places, values, table.quality))
        more = Answers(self._windows, self._outputs)
        for place in sorted(table.also):
            more.add(place, table.also[place])
        self._parts += [*parts, *more.parts()]

    def fail(self, place: int, why: str) -> None:
        """Say that the window at `place` could not be worked on."""
        self._failures[place] = (why or "failed")[:FAILURE_CHARS_MAX]

    def message(self, work_id: int, max_bytes: int) -> pb.Results:
        """Give the message. Results of the largest windows become failures until it fits."""
        parts = self.parts()
        while True:
            made = self._made(work_id, parts)
            size = made.ByteSize()
            if size <= max_bytes or not parts:
                return made
            sizes = np.zeros(len(self._windows))
            for part in parts:
                sizes += np.bincount(part.places, _sizes(part), len(sizes))
            over, gone = size - max_bytes, []
            for place in np.argsort(-sizes, kind="stable").tolist():
                if over <= 0 or not sizes[place]:
                    break
                gone.append(place)
                over -= sizes[place]
                self.fail(place, f"results of {size} bytes, over the limit of {max_bytes}")
            parts = [part.without(gone) for part in parts]
            parts = [part for part in parts if len(part.places)]

    def _of(self, name: str) -> int:
        if name not in self._index:
            known = ", ".join(self._index) or "none"
            raise ValueError(f"there is no output {name!r} in the manifest (has: {known})")
        return self._index[name]

    def parts(self) -> list[_Part]:
        """Give what was taken."""
        plain = [
            _Part(
                index,
                np.array(places, np.intp),
                np.array(values, self._outputs[index].type.dtype),
                np.zeros(len(places), np.uint32),
            )
            for index, (places, values) in self._plain.items()
        ]
        return plain + self._parts

    def _made(self, work_id: int, parts: Sequence[_Part]) -> pb.Results:
        """Lay the parts of each output into one column."""
        message = pb.Results(work_id=work_id)
        for place in sorted(self._failures):
            message.failures.add(window=place, reason=self._failures[place])
        by_output: dict[int, list[_Part]] = {}
        for part in parts:
            by_output.setdefault(part.output, []).append(part)
        for index in sorted(by_output):
            self._lay(message.columns.add(output=index), by_output[index])
        return message

    def _lay(self, column: pb.OutputColumn, parts: Sequence[_Part]) -> None:
        places = np.concatenate([part.places for part in parts])
        order = np.argsort(places, kind="stable")
        places = places[order]
        values = np.concatenate([part.values for part in parts])[order]
        quality = np.concatenate([part.quality for part in parts])[order]
        if len(places) != len(self._windows) or (places != np.arange(len(places))).any():
            column.windows = places.astype("<u4").tobytes()
        if (places[1:] == places[:-1]).any() or any(part.times_ns is not None for part in parts):
            times = np.concatenate([self._times(part) for part in parts])[order]
            column.times = times.astype("<i8").tobytes()
        if quality.any():
            column.quality = quality.astype("<u4").tobytes()
        kind = self._outputs[column.output].type
        if kind is Type.STRING:
            column.texts.extend(values)
        elif kind is Type.BYTES:
            column.blobs.extend(values)
        else:
            column.values = values.astype(kind.dtype, copy=False).tobytes()

    def _times(self, part: _Part) -> npt.NDArray[np.int64]:
        if part.times_ns is not None:
            return part.times_ns
        return np.array([self._windows[place].last_ns for place in part.places.tolist()], np.int64)


def _listed(results: Results) -> Sequence[Result]:
    if results is None:
        return ()
    if isinstance(results, Mapping):
        return [Result(name, value) for name, value in results.items() if value is not None]
    return results if isinstance(results, list) else list(results)


def _is_plain(result: Result, output: Output) -> bool:
    """Whether a float is what most windows give: a good one without a time, that fits."""
    if type(result.quality) is not int or result.quality:
        return False
    if result.times_ns is not None or result.values is not None:
        return False
    if output.type is Type.FLOAT32:
        return abs(result.value) < _F4_MOST  # type: ignore[arg-type]
    return output.type is Type.FLOAT64


def _part(result: Result, index: int, output: Output, place: int) -> _Part:
    if (result.value is None) == (result.values is None):
        raise ValueError(f"{output.name}: give either value or values")
    try:
        values = as_column([result.value] if result.values is None else result.values, output.type)
    except ValueError as wrong:
        raise ValueError(f"{output.name}: {wrong}") from wrong
    rows, times = len(values), None
    if result.times_ns is not None:
        times = np.atleast_1d(np.asarray(result.times_ns)).astype("<i8", casting="same_kind")
        times = _fitting(times, rows, output)
    elif rows != 1:
        raise ValueError(f"{output.name}: {rows} values need times_ns")
    quality = np.asarray(result.quality).astype("<u4")
    quality = _fitting(quality if quality.ndim else np.full(rows, quality), rows, output)
    if quality.any():
        values = np.where((quality & np.uint32(BAD)) == 0, values, _nothing(output.type))
    if output.type.is_number:
        values = values.astype(output.type.dtype, copy=False)
    return _Part(index, np.full(rows, place, np.intp), values, quality, times)


def _nothing(of: Type) -> Value:
    return "" if of is Type.STRING else b"" if of is Type.BYTES else of.dtype.type(0)


def _fitting(column: npt.NDArray[Any], rows: int, output: Output) -> npt.NDArray[Any]:
    if column.shape != (rows,):
        raise ValueError(f"{output.name}: {column.shape} times or qualities for {rows} values")
    return column


def _sizes(part: _Part) -> npt.NDArray[np.float64]:
    """(rows) bytes of each row in the message, about."""
    fixed = 8 if part.times_ns is None else 16
    if part.values.dtype != object:
        return np.full(len(part.values), float(fixed + part.values.itemsize))
    sizes = (len(one.encode() if isinstance(one, str) else one) + 5 for one in part.values)
    return fixed + np.fromiter(sizes, np.float64, len(part.values))
