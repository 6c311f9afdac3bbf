"""The last cycles of one machine, kept over restarts; a few hundred at most.

Owns the file `history.npz` of the plugin's state directory: what a cycle is, when a new life
begins. Must not know models.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from forebay_wear.features import Numbers

FILE = "history.npz"
FILE_BYTES_MAX = 4 * 1024 * 1024
NEVER = int(np.iinfo(np.int64).min)


class History:
    """Mean of each sensor in each of the last `most` cycles.

    A row belongs to the cycle whose counter it carries; rows without counter are a cycle each.
    Rows that were seen before, as after a crash, change nothing.

    Attributes:
        seen_ns: time of the last row.
        life: how many lives began; a counter that goes back begins one.
    """

    def __init__(self, path: Path, sensors: Sequence[str], most: int) -> None:
        self._path, self._sensors, self._most = path / FILE, list(sensors), most
        self.seen_ns, self.life = NEVER, 1
        self._counter = np.nan
        self._begins: list[int] = []
        self._sums: list[Numbers] = []
        self._counts: list[Numbers] = []
        self.due, self.changed_ns, self.streak = False, NEVER, 0
        self._load()

    def add(self, time_ns: int, values: Numbers, counter: float) -> bool:
        """Take a row, (sensors) with NaN where there is no value; `counter` NaN: there is none.

        Gives whether a new cycle began.
        """
        if time_ns <= self.seen_ns:
            return False
        self.seen_ns = time_ns
        known = ~np.isnan(values)
        same = not np.isnan(counter) and counter == self._counter and bool(self._begins)
        if not np.isnan(counter):
            if counter < self._counter:
                self._restart()
            self._counter = counter
        if same:
            self._sums[-1] = self._sums[-1] + np.where(known, values, 0.0)
            self._counts[-1] = self._counts[-1] + known
            return False
        self._begins.append(time_ns)
        self._sums.append(np.where(known, values, 0.0))
        self._counts.append(known.astype(np.float64))
        for kept in (self._begins, self._sums, self._counts):
            del kept[: -self._most]
        return True

    def until(self, time_ns: int) -> Numbers:
        """(cycles, sensors) means of the cycles that began at `time_ns` or before."""
        count = int(np.searchsorted(self._begins, time_ns, side="right"))
        if not count:
            return np.empty((0, len(self._sensors)))
        sums, counts = np.stack(self._sums[:count]), np.stack(self._counts[:count])
        return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)

    def _restart(self) -> None:
        self.life += 1
        self._begins, self._sums, self._counts = [], [], []

    def save(self) -> None:
        """Write the file; it is whole before its name is there."""
        packed = io.BytesIO()
        width = len(self._sensors)
        np.savez(
            packed,
            sensors=np.array(self._sensors),
            begins=np.array(self._begins, np.int64),
            sums=np.array(self._sums).reshape(-1, width),
            counts=np.array(self._counts).reshape(-1, width),
            numbers=np.array([self.seen_ns, self.life, self.due, self.changed_ns, self.streak]),
            counter=np.array(self._counter),
        )
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(packed.getvalue())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _load(self) -> None:
        """Take up what an earlier process knew of the same sensors; anything else is let go."""
        try:
            with self._path.open("rb") as file:
                packed = io.BytesIO(file.read(FILE_BYTES_MAX))
            with np.load(packed, allow_pickle=False) as held:
                arrays: dict[str, npt.NDArray[np.generic]] = {n: held[n] for n in held.files}
            sums = np.asarray(arrays["sums"], np.float64)
            counts = np.asarray(arrays["counts"], np.float64)
            begins, numbers = arrays["begins"].tolist(), arrays["numbers"].tolist()
            seen_ns, life, due, changed_ns, streak = map(int, numbers)
            counter = float(arrays["counter"].item())
            fits = arrays["sensors"].tolist() == self._sensors and sums.shape == counts.shape
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        if fits and sums.shape == (len(begins), len(self._sensors)):
            self._begins, self._sums, self._counts = begins, list(sums), list(counts)
            for kept in (self._begins, self._sums, self._counts):
                del kept[: -self._most]
            self.seen_ns, self.life, self._counter = seen_ns, life, counter
            self.due, self.changed_ns, self.streak = bool(due), changed_ns, streak
