"""What a plugin looks at: a window of samples, as numpy arrays that lie in the message itself.

Owns slicing and aligning. Must not know how the arrays came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from forebay_plugin.types import BAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay_plugin.plugin import Input

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """The samples of one input, read-only arrays of the same length (rows).

    Attributes:
        input: which tag, of which role and type.
        times_ns: source times, nanoseconds since 1970 UTC; ascending but where a device went back.
        values: of the input's type; an array of `str` or `bytes` objects for texts and bytes. Zero
            or empty where `good` is False.
        quality: OPC UA StatusCodes (Part 4, 7.39), uint32.
    """

    input: Input
    times_ns: Times
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint32]

    @property
    def tag(self) -> str:
        """DEVICE/TAG."""
        return self.input.tag

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """(rows) True where there is a value: quality is not bad."""
        good: npt.NDArray[np.bool_] = (self.quality & np.uint32(BAD)) == 0
        return good

    def __len__(self) -> int:
        return len(self.times_ns)

    def numbers(self) -> npt.NDArray[np.float64]:
        """(rows) float64, NaN where there is no value.

        Raises:
            ValueError: the input holds texts or bytes.
        """
        if not self.input.type.is_number:
            raise ValueError(f"{self.tag} holds {self.input.type.word}, not numbers")
        numbers = self.values.astype(np.float64)
        numbers[~self.good] = np.nan
        return numbers

    def rows(self, first: int, count: int) -> Series:
        """The same series, of these rows only; nothing is copied."""
        some = slice(first, first + count)
        return Series(self.input, self.times_ns[some], self.values[some], self.quality[some])


class Columns:
    """All series that came with one message, and the axes they lie on: what windows are cut from.

    `axes` maps each series to the index of its axis; two series of one axis have the same times.
    """

    def __init__(self, axes: Sequence[Times], series: Sequence[Series], on: Sequence[int]) -> None:
        self.axes, self.series, self.on = axes, series, on
        self._matrices: dict[str, npt.NDArray[np.float64]] = {}
        self._axes: dict[str | None, int | None] = {}

    def axis_of(self, role: str | None) -> int | None:
        """The one axis of a role (None: of everything); None if there are several, or none."""
        if role not in self._axes:
            found = {axis for axis, one in zip(self.on, self.series, strict=True) if _of(one, role)}
            self._axes[role] = found.pop() if len(found) == 1 else None
        return self._axes[role]

    def matrix(self, role: str) -> npt.NDArray[np.float64]:
        """(rows of the axis, tags) float64 of a role that has one axis; made once."""
        if role not in self._matrices:
            columns = [one.numbers() for one in self.series if _of(one, role)]
            made = np.stack(columns, axis=1)
            made.flags.writeable = False
            self._matrices[role] = made
        return self._matrices[role]


def _of(series: Series, role: str | None) -> bool:
    return role is None or series.input.role == role


class Window:
    """What is to be looked at at once: all samples from `begin_ns` up to, not including, `end_ns`.

    Attributes:
        number: unique while the host runs; starts anew when it does.
        begin_ns: nanoseconds since 1970 UTC. The same data gives the same windows, also after a
            restart.
        end_ns: the same.
    """

    def __init__(
        self,
        number: int,
        begin_ns: int,
        end_ns: int,
        columns: Columns,
        ranges: Sequence[tuple[int, int]],
    ) -> None:
        self.number, self.begin_ns, self.end_ns = number, begin_ns, end_ns
        self._columns, self._ranges = columns, ranges

    @cached_property
    def series(self) -> Mapping[str, Series]:
        """The series of every input, DEVICE/TAG -> its rows in this window.

        A tag that two roles name stands here once; `role` gives each.
        """
        return {one.tag: one for one in self._cut(None)}

    def role(self, name: str) -> list[Series]:
        """The series of one role, in the order of `Setup.inputs`."""
        return self._cut(name)

    @cached_property
    def times(self) -> Times:
        """Every moment at which any series has a row."""
        return self.times_of(None)

    @property
    def last_ns(self) -> int:
        """The last moment of data, where a sample without a time is put; `end_ns` if empty."""
        times = self.times
        return int(times.max()) if len(times) else self.end_ns

    def times_of(self, role: str | None) -> Times:
        """(rows) the times of the rows of `matrix(role)`: those of the axis, or their union."""
        axis = self._columns.axis_of(role)
        if axis is not None:
            first, count = self._ranges[axis]
            return self._columns.axes[axis][first : first + count]
        held = [one.times_ns for one in self._cut(role)]
        return np.unique(np.concatenate(held)) if held else np.empty(0, np.int64)

    def matrix(self, role: str) -> npt.NDArray[np.float64]:
        """(rows, tags) float64 of a role, NaN where there is no value; read-only.

        Tags that were read together have a row for each reading. Tags of several devices have a row
        for every moment of any, and each holds its last value until its next.

        Raises:
            ValueError: the role has no tags, or some hold texts or bytes.
        """
        axis = self._columns.axis_of(role)
        if axis is not None:
            first, count = self._ranges[axis]
            return self._columns.matrix(role)[first : first + count]
        series = self._cut(role)
        if not series:
            raise ValueError(f"there is no input with the role {role!r}")
        times = self.times_of(role)
        return np.stack([held(one, times) for one in series], axis=1)

    def _cut(self, role: str | None) -> list[Series]:
        columns = self._columns
        return [
            one.rows(*self._ranges[axis])
            for one, axis in zip(columns.series, columns.on, strict=True)
            if _of(one, role)
        ]


class Windows(Sequence[Window]):
    """Windows over the same columns; a `Window` is made when it is asked for.

    Attributes:
        begin_ns: (windows) int64.
        end_ns: (windows) int64.
        rows: (windows, axes, 2) first row on each axis, and how many.
    """

    def __init__(
        self, first: int, begin_ns: Times, end_ns: Times, columns: Columns, rows: npt.NDArray[Any]
    ) -> None:
        self.first, self.begin_ns, self.end_ns = first, begin_ns, end_ns
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.begin_ns)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return Window(
            self.first + place,
            int(self.begin_ns[place]),
            int(self.end_ns[place]),
            self.columns,
            [(first, count) for first, count in self.rows[place].tolist()],
        )


def grouped(
    windows: Sequence[Window], role: str
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
    """Windows with the same number of rows together: their places, and what `stack` gives of them.

    Those without rows are left out.

    Raises:
        ValueError: the role has no numbers.
    """
    axis = windows.columns.axis_of(role) if isinstance(windows, Windows) else None
    if isinstance(windows, Windows) and axis is not None:
        first, counts = windows.rows[:, axis, 0].astype(np.intp), windows.rows[:, axis, 1]
        matrix = windows.columns.matrix(role)
        for count in np.unique(counts[counts > 0]).tolist():
            places = np.flatnonzero(counts == count)
            yield places, _cut_out(matrix, first[places], count)
        return
    matrices = [window.matrix(role) for window in windows]
    lengths = np.array([len(matrix) for matrix in matrices])
    for count in np.unique(lengths[lengths > 0]).tolist():
        places = np.flatnonzero(lengths == count)
        yield places, np.stack([matrices[place] for place in places])


def _cut_out(
    matrix: npt.NDArray[np.float64], first: npt.NDArray[np.intp], count: int
) -> npt.NDArray[np.float64]:
    """(windows, count, tags) from the rows `first` on; a view where they lie side by side."""
    if (first[1:] - first[:-1] == count).all():
        begin, end = int(first[0]), int(first[-1]) + count
        return matrix[begin:end].reshape(len(first), count, matrix.shape[1])
    found: npt.NDArray[np.float64] = matrix[first[:, None] + np.arange(count)]
    return found


def held(series: Series, times_ns: Times) -> npt.NDArray[np.float64]:
    """The value that `series` had last at each of `times_ns` (rows), NaN before its first.

    A sample without a value ends the one before it: then there is NaN until the next.
    """
    if not len(series):
        return np.full(len(times_ns), np.nan)
    order = np.argsort(series.times_ns, kind="stable")
    values = series.numbers()[order]
    last = np.searchsorted(series.times_ns[order], times_ns, side="right") - 1
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def stack(windows: Sequence[Window], role: str) -> npt.NDArray[np.float64]:
    """(windows, rows, tags) float64 of windows with the same number of rows, for batch models.

    Raises:
        ValueError: the windows differ in rows, or the role has no numbers.
    """
    return np.stack([window.matrix(role) for window in windows])
