"""What the gateway makes of results: what it takes, what it makes bad, what it refuses. Pure.

Owns the harness' view of those rules, so that a plugin's tests see what a factory would.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.types import BAD, Type, as_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin._proto import plugin_pb2 as pb
    from forebay_plugin.manifest import Declared

BAD_OUT_OF_RANGE = 0x803C_0000
"""BadOutOfRange (OPC UA Part 4, 7.39.2)."""
TEXT_BYTES_MAX, BLOB_BYTES_MAX = 65_535, 1 << 20
BESIDE_NS = 3_600_000_000_000
"""How far a sample's time may be outside of its window."""


@dataclass(frozen=True)
class Samples:
    """Samples of one output (rows), in the order in which they were given."""

    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint32]

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """(rows) True where there is a value."""
        good: npt.NDArray[np.bool_] = (self.quality & np.uint32(BAD)) == 0
        return good

    def __len__(self) -> int:
        return len(self.times_ns)


@dataclass
class Taken:
    """What became of results: samples by output, failed windows, refused samples by reason."""

    samples: dict[str, list[Samples]] = field(default_factory=dict)
    failures: list[tuple[int, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def take(results: pb.Results, work: pb.Work, outputs: Sequence[Declared], taken: Taken) -> None:
    """Check the answer to `work` and add to `taken` what becomes of it.

    Raises:
        AssertionError: the answer breaks the protocol, for which the gateway ends the process.
    """
    assert results.work_id == work.id, f"results of work {results.work_id}, not {work.id}"
    numbers = [window.number for window in work.windows]
    assert [window.number for window in results.windows] == numbers, "other windows than asked for"
    for window, given in zip(work.windows, results.windows, strict=True):
        if given.failure:
            taken.failures.append((window.number, given.failure))
            continue
        for column in given.columns:
            assert column.output < len(outputs), f"output {column.output} is not in the manifest"
            declared = outputs[column.output]
            samples = _decoded(column, declared, window, work)
            kept = _checked(samples, declared, window, taken.refused)
            taken.samples.setdefault(declared.output.name, []).append(kept)


def joined(parts: Sequence[Samples]) -> Samples:
    """All samples of one output in one."""
    if not parts:
        return Samples(np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint32))
    return Samples(
        np.concatenate([part.times_ns for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _decoded(
    column: pb.OutputColumn, declared: Declared, window: pb.Window, work: pb.Work
) -> Samples:
    kind, name = declared.output.type, declared.output.name
    if kind.is_number:
        assert len(column.values) % kind.dtype.itemsize == 0, f"{name}: half a value"
        values = np.frombuffer(column.values, kind.dtype)
    else:
        values = as_column(column.texts if kind is Type.STRING else column.blobs, kind)
    rows = len(values)
    assert column.times or rows == 1, f"{name}: {rows} values without times"
    times = (
        np.frombuffer(column.times, "<i8") if column.times else np.array([last_ns(window, work)])
    )
    quality = np.frombuffer(column.quality, "<u4") if column.quality else np.zeros(rows, np.uint32)
    assert len(times) == len(quality) == rows, f"{name}: lengths differ"
    return Samples(times, values, quality)


def last_ns(window: pb.Window, work: pb.Work) -> int:
    """The window's last moment of data, or its end if it has none."""
    held = [
        int(np.frombuffer(axis.times, "<i8")[part.first : part.first + part.count].max())
        for axis, part in zip(work.axes, window.ranges, strict=True)
        if part.count
    ]
    return max(held, default=window.end_ns)


def _checked(
    samples: Samples, declared: Declared, window: pb.Window, refused: Counter[str]
) -> Samples:
    times = samples.times_ns
    keep = (times >= window.begin_ns - BESIDE_NS) & (times < window.end_ns + BESIDE_NS)
    refused["time outside of its window"] += int((~keep).sum())
    if not declared.output.type.is_number:
        fits = _short(samples.values, declared.output.type)
        refused["too long"] += int((keep & ~fits).sum())
        keep &= fits
        return Samples(times[keep], samples.values[keep], samples.quality[keep])
    values, quality, valued = samples.values, samples.quality.copy(), samples.good
    nowhere = valued & ~np.isfinite(values.astype(np.float64))
    outside = valued & ~nowhere & _outside(values, declared)
    refused["not finite"] += int((keep & nowhere).sum())
    refused["out of range"] += int((keep & outside).sum())
    quality[nowhere], quality[outside] = BAD, BAD_OUT_OF_RANGE
    values = np.where(valued & ~nowhere & ~outside, values, values.dtype.type(0))
    return Samples(times[keep], values[keep], quality[keep])


def _short(values: npt.NDArray[Any], kind: Type) -> npt.NDArray[np.bool_]:
    if kind is Type.BYTES:
        return np.array([len(blob) <= BLOB_BYTES_MAX for blob in values], bool)
    return np.array([len(text.encode()) <= TEXT_BYTES_MAX for text in values], bool)


def _outside(values: npt.NDArray[Any], declared: Declared) -> npt.NDArray[np.bool_]:
    outside = np.zeros(len(values), bool)
    if declared.least is not None:
        outside |= values < declared.least
    if declared.most is not None:
        outside |= values > declared.most
    return outside
