"""The operating points that were seen, as many as are kept, over restarts.

Owns the file `points.npz` of the state directory. Must not know what a point means.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from forebay_advisor.points import Points

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay_advisor.points import Numbers

FILE = "points.npz"
FILE_BYTES_MAX = 32 * 1024 * 1024


class History:
    """A ring of points: (time, energy a unit, conditions, knobs), the oldest go first."""

    def __init__(
        self, directory: Path, tags: Sequence[str], widths: tuple[int, int], most: int
    ) -> None:
        self._path, self._tags, self._widths = directory / FILE, list(tags), widths
        self._rows = np.empty((most, 2 + sum(widths)))
        self._count = 0
        self._load()

    def __len__(self) -> int:
        return min(self._count, len(self._rows))

    @property
    def seen_ns(self) -> float:
        """End of the newest window, as exact as float64 holds it."""
        return float(self._rows[: len(self), 0].max()) if self._count else 0.0

    def add(self, end_ns: int, specific: float, conditions: Numbers, knobs: Numbers) -> None:
        """Take one point, in place of the oldest if there is no room."""
        row = [float(end_ns), specific, *conditions.tolist(), *knobs.tolist()]
        self._rows[self._count % len(self._rows)] = row
        self._count += 1

    def until(self, end_ns: int) -> Points:
        """Points whose windows ended at `end_ns` or before."""
        rows = self._rows[: len(self)]
        rows = rows[rows[:, 0] <= float(end_ns)]
        middle = 2 + self._widths[0]
        return Points(rows[:, 1], rows[:, 2:middle], rows[:, middle:])

    def save(self) -> None:
        """Write the file; it is whole before its name is there."""
        first = self._count % len(self._rows) if self._count > len(self._rows) else 0
        rows = np.roll(self._rows[: len(self)], -first, axis=0)
        packed = io.BytesIO()
        np.savez(packed, tags=np.array(self._tags), rows=rows)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(packed.getvalue())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _load(self) -> None:
        """Take up points of the same tags; anything else is let go."""
        try:
            with self._path.open("rb") as file:
                packed = io.BytesIO(file.read(FILE_BYTES_MAX))
            with np.load(packed, allow_pickle=False) as held:
                tags, rows = held["tags"].tolist(), np.asarray(held["rows"], np.float64)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        fits = rows.ndim == 2 and rows.shape[1] == self._rows.shape[1]
        if tags == self._tags and fits and np.isfinite(rows).all():
            rows = rows[-len(self._rows) :]
            self._rows[: len(rows)] = rows
            self._count = len(rows)
