"""Gathers the rows that show what is normal, and keeps what was learnt over restarts.

Owns the file `normal.npz` of the plugin's state directory. Must not know scores.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_anomaly.normal import Normal, Recipe, learn
from forebay_plugin.models import drift

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay_anomaly.normal import Numbers
    from forebay_plugin import Window

FILE = "normal.npz"
FILE_BYTES_MAX = 16 * 1024 * 1024


class Learning:
    """Learns from the first `wanted` rows without gaps of the tags; then `normal` is there.

    Attributes:
        normal: what was learnt; None until then.
        edges: (tags, bins - 1) of the histograms of the rows learnt from.
        shares: (tags, bins) of the same.
    """

    def __init__(self, state: Path, tags: Sequence[str], wanted: int, recipe: Recipe) -> None:
        self._path, self._tags, self._wanted, self._recipe = (
            state / FILE,
            list(tags),
            wanted,
            recipe,
        )
        self._rows: list[Numbers] = []
        self._have, self._seen_ns = 0, np.iinfo(np.int64).min
        self.normal: Normal | None = None
        self.edges = self.shares = np.empty((0, 0))
        self._load()

    @property
    def done(self) -> bool:
        """Whether `normal` is there."""
        return self.normal is not None

    def add(self, window: Window, matrix: Numbers) -> bool:
        """Take the rows of a window that were in none before: `matrix` (rows, tags) of its role.

        Gives whether what is normal is known by this.
        """
        times = window.times_of("values")
        fresh = (times > self._seen_ns) & ~np.isnan(matrix).any(axis=1)
        if len(times):
            self._seen_ns = max(self._seen_ns, int(times.max()))
        wanted = max(self._wanted, 2 * len(matrix))
        self._rows.append(matrix[fresh][: wanted - self._have])
        self._have += len(self._rows[-1])
        if self._have >= wanted:
            rows = np.concatenate(self._rows)
            self.normal = learn(rows, len(matrix), self._recipe)
            self.edges, self.shares = drift.reference(rows)
            self._rows = []
            self._save()
        return self.done

    def _load(self) -> None:
        """Take up what an earlier process learnt of the same tags; anything else is learnt anew."""
        try:
            with self._path.open("rb") as file:
                packed = io.BytesIO(file.read(FILE_BYTES_MAX))
            with np.load(packed, allow_pickle=False) as held:
                arrays: dict[str, Any] = {name: held[name] for name in held.files}
            about = (list(arrays["tags"]), int(arrays["wanted"]))
            normal = Normal(arrays["centre"], arrays["precision"])
            edges, shares = arrays["edges"], arrays["shares"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        if about == (self._tags, self._wanted):
            self.normal, self.edges, self.shares = normal, edges, shares

    def _save(self) -> None:
        assert self.normal is not None
        packed = io.BytesIO()
        np.savez(
            packed,
            tags=np.array(self._tags),
            wanted=np.array(self._wanted),
            centre=self.normal.centre,
            precision=self.normal.precision,
            edges=self.edges,
            shares=self.shares,
        )
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(packed.getvalue())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
