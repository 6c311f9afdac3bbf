"""What the gateway makes of results: what it takes, what it makes bad, what it refuses. Pure.

Owns the harness' view of those rules, so that a plugin's tests see what a factory would.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin import wire
from forebay_plugin.types import BAD, Type, as_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin._proto import plugin_pb2 as pb
    from forebay_plugin.manifest import Declared
    from forebay_plugin.window import Windows

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
    windows = wire.to_spans(work)
    count = len(windows)
    for failure in results.failures:
        assert failure.window < count, f"window {failure.window} failed, of {count}"
        taken.failures.append((windows.first + failure.window, failure.reason))
    failed = [failure.window for failure in results.failures]
    for column in results.columns:
        assert column.output < len(outputs), f"output {column.output} is not in the manifest"
        declared = outputs[column.output]
        samples, places = _decoded(column, declared, windows)
        some = ~np.isin(places, failed)
        samples = Samples(samples.times_ns[some], samples.values[some], samples.quality[some])
        kept = _checked(samples, declared, windows, places[some], taken.refused)
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
    column: pb.OutputColumn, declared: Declared, windows: Windows
) -> tuple[Samples, npt.NDArray[np.intp]]:
    kind, name = declared.output.type, declared.output.name
    if kind.is_number:
        assert len(column.values) % kind.dtype.itemsize == 0, f"{name}: half a value"
        values = np.frombuffer(column.values, kind.dtype)
    else:
        values = as_column(column.texts if kind is Type.STRING else column.blobs, kind)
    rows = len(values)
    if column.windows:
        places = np.frombuffer(column.windows, "<u4").astype(np.intp)
        assert len(places) == rows, f"{name}: {rows} values of {len(places)} windows"
        assert (places[1:] >= places[:-1]).all(), f"{name}: windows are not in order"
        assert not rows or places[-1] < len(windows), f"{name}: of a window that is not there"
    else:
        count = len(windows)
        assert rows in (0, count), f"{name}: {rows} values for {count} windows, not said which"
        places = np.arange(rows)
    if column.times:
        times = np.frombuffer(column.times, "<i8")
    else:
        assert (places[1:] > places[:-1]).all(), f"{name}: several values of a window, no times"
        times = last_moments(windows)[places]
    quality = np.frombuffer(column.quality, "<u4") if column.quality else np.zeros(rows, np.uint32)
    assert len(times) == len(quality) == rows, f"{name}: lengths differ"
    return Samples(times, values, quality), places


def last_moments(windows: Windows) -> npt.NDArray[np.int64]:
    """(windows) the last moment of data of each, or its end if it has none."""
    axes = windows.columns.axes
    found = [
        max(
            (
                int(axis[first : first + count].max())
                for axis, (first, count) in zip(axes, rows, strict=True)
                if count
            ),
            default=end,
        )
        for rows, end in zip(windows.rows.tolist(), windows.end_ns.tolist(), strict=True)
    ]
    return np.array(found, np.int64)


def _checked(
    samples: Samples,
    declared: Declared,
    windows: Windows,
    places: npt.NDArray[np.intp],
    refused: Counter[str],
) -> Samples:
    begin_ns, end_ns = windows.begin_ns[places], windows.end_ns[places]
    times = samples.times_ns
    keep = (times >= begin_ns - BESIDE_NS) & (times < end_ns + BESIDE_NS)
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
