"""Frames of recorded or made-up data, cut into work as the gateway cuts its journal. Pure.

Owns the encoding of work for tests. Must not know how work gets to a plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.manifest import NS, Manifest, ManifestError, Role
from forebay_plugin.plugin import Input
from forebay_plugin.types import BAD, Type, as_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Times = npt.NDArray[np.int64]
Span = tuple[int, int, list[tuple[int, int]]]
"""One window: begin_ns, end_ns, (first row, rows) on each frame."""


@dataclass(frozen=True)
class Frame:
    """Rows of one device: times that all its tags share, and a column for each tag.

    Attributes:
        times_ns: (rows) nanoseconds since 1970 UTC.
        columns: DEVICE/TAG -> (rows) values; lists of `str` or `bytes` for texts and bytes.
        quality: DEVICE/TAG -> (rows) OPC UA StatusCodes; who is absent is Good throughout.
        types: DEVICE/TAG -> type, where the values do not tell it: texts and bytes without rows.
    """

    times_ns: Times
    columns: Mapping[str, Any]
    quality: Mapping[str, Any] | None = None
    types: Mapping[str, Type] | None = None

    @classmethod
    def sampled(
        cls,
        columns: Mapping[str, Any],
        *,
        rate_hz: float = 1.0,
        start_ns: int = 1_700_000_000 * NS,
        quality: Mapping[str, Any] | None = None,
    ) -> Frame:
        """A frame of evenly sampled rows."""
        rows = len(next(iter(columns.values())))
        times = start_ns + np.round(np.arange(rows) * (NS / rate_hz)).astype(np.int64)
        return cls(times, columns, quality)


@dataclass(frozen=True)
class Column:
    """One input's values on its frame, ready to be cut."""

    source: Input
    frame: int
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint32]


def columns_of(manifest: Manifest, frames: Sequence[Frame]) -> list[Column]:
    """Give what the manifest's patterns find in `frames`, role by role.

    Raises:
        ManifestError: a role finds fewer tags than it needs; of too many it takes the first.
        ValueError: a column's length is not its frame's, or its values are of no type of a tag.
    """
    found: list[Column] = []
    for name, role in manifest.inputs.items():
        mine = [
            _column(name, tag, index, frames[index]) for tag, index in _tags(role, frames).items()
        ]
        mine = [column for column in mine if role.takes(column.source.type)][: role.most]
        if len(mine) < role.least:
            raise ManifestError(f"inputs.{name}: {len(mine)} tags fit, {role.least} are needed")
        found.extend(mine)
    return found


def _tags(role: Role, frames: Sequence[Frame]) -> dict[str, int]:
    """Tag -> its frame, in the order of the role's patterns, and under one in that of the data."""
    return {
        tag: index
        for pattern in role.tags
        for index, frame in enumerate(frames)
        for tag in frame.columns
        if fnmatchcase(tag, pattern)
    }


def _column(role: str, tag: str, index: int, frame: Frame) -> Column:
    kind, values = _typed(frame.columns[tag], (frame.types or {}).get(tag))
    quality = np.asarray((frame.quality or {}).get(tag, np.zeros(len(values))), np.uint32)
    if not len(values) == len(quality) == len(frame.times_ns):
        raise ValueError(f"{tag}: {len(values)} values for {len(frame.times_ns)} rows")
    if kind.is_number:
        values = np.where((quality & np.uint32(BAD)) == 0, values, kind.dtype.type(0))
    return Column(Input(role, tag, kind), index, values, quality)


def _typed(values: Any, said: Type | None) -> tuple[Type, npt.NDArray[Any]]:  # noqa: ANN401 - any sequence
    if said is not None:
        return said, as_column(values, said)
    if len(values) and isinstance(values[0], str | bytes):
        kind = Type.STRING if isinstance(values[0], str) else Type.BYTES
        return kind, as_column(values, kind)
    array = np.asarray(values)
    try:
        return Type[array.dtype.name.upper()], array
    except KeyError:
        raise ValueError(f"values of {array.dtype} are of no type of a tag") from None


def spans(manifest: Manifest, frames: Sequence[Frame], columns: Sequence[Column]) -> Iterator[Span]:
    """Give the windows over `frames`, in order: by rows of the first input's frame, or by time.

    Windows that the data do not fill to their end are not given: the gateway would wait.
    """
    cut = manifest.windows
    if cut.every_ns:
        yield from _timed(cut.every_ns, cut.length_ns, frames)
        return
    leading = columns[0].frame if columns else 0
    times = frames[leading].times_ns
    for first in range(0, len(times) - cut.rows + 1, cut.stride):
        begin, end = int(times[first]), int(times[first + cut.rows - 1]) + 1
        yield (
            begin,
            end,
            [
                (first, cut.rows) if index == leading else _between(frame.times_ns, begin, end)
                for index, frame in enumerate(frames)
            ],
        )


def _timed(every_ns: int, length_ns: int, frames: Sequence[Frame]) -> Iterator[Span]:
    filled = [frame.times_ns for frame in frames if len(frame.times_ns)]
    if not filled:
        return
    first, last = min(int(times[0]) for times in filled), max(int(times[-1]) for times in filled)
    end = (first // every_ns + 1) * every_ns
    while end <= last:
        begin = end - length_ns
        yield begin, end, [_between(frame.times_ns, begin, end) for frame in frames]
        end += every_ns


def _between(times: Times, begin: int, end: int) -> tuple[int, int]:
    first, behind = np.searchsorted(times, [begin, end])
    return int(first), int(behind - first)


def works(manifest: Manifest, frames: Sequence[Frame], columns: Sequence[Column]) -> list[pb.Work]:
    """Put the windows over `frames` into messages of at most the manifest's `batch` windows."""
    held = list(spans(manifest, frames, columns))
    return [
        work(
            number // manifest.batch + 1,
            number,
            held[number : number + manifest.batch],
            frames,
            columns,
        )
        for number in range(0, len(held), manifest.batch)
    ]


def work(
    identity: int,
    number: int,
    windows: Sequence[Span],
    frames: Sequence[Frame],
    columns: Sequence[Column],
) -> pb.Work:
    """Encode windows over the rows that they cover together; `number` + 1 is the first's number."""
    message = pb.Work(id=identity)
    bounds = []
    for index, frame in enumerate(frames):
        used = [ranges[index] for _, _, ranges in windows if ranges[index][1]]
        low = min((first for first, _ in used), default=0)
        high = max((first + count for first, count in used), default=0)
        bounds.append((low, high))
        times = frame.times_ns[low:high].astype("<i8")
        message.axes.add(rows=len(times), times=times.tobytes())
    for index, column in enumerate(columns):
        low, high = bounds[column.frame]
        message.series.append(_series(index, column, slice(low, high)))
    rows = [
        [(first - low if count else 0, count) for (first, count), (low, _) in pairs]
        for pairs in (zip(ranges, bounds, strict=True) for _, _, ranges in windows)
    ]
    message.windows.first = number + 1
    message.windows.begin_ns = np.array([begin for begin, _, _ in windows], "<i8").tobytes()
    message.windows.end_ns = np.array([end for _, end, _ in windows], "<i8").tobytes()
    message.windows.rows = np.array(rows, "<u4").tobytes()
    return message


def _series(index: int, column: Column, rows: slice) -> pb.Series:
    series = pb.Series(input=index, axis=column.frame)
    quality = column.quality[rows]
    if quality.any():
        series.quality = quality.astype("<u4").tobytes()
    kind = column.source.type
    if kind is Type.STRING:
        series.texts.extend(column.values[rows])
    elif kind is Type.BYTES:
        series.blobs.extend(column.values[rows])
    else:
        series.values = column.values[rows].astype(kind.dtype).tobytes()
    return series
