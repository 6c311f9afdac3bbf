"""Whether data still look like those of the training: population stability index of each input.

PSI = sum over bins of (now - then) · ln(now / then), with shares of samples in the bins of the
training's deciles: under 0.1 nothing moved, over 0.25 the model sees another world (the thresholds
of credit scoring, where the index comes from). Owns counting. Must not know models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

BINS = 10
LEAST_SHARE = 1e-3
"""An empty bin counts as this much: the index stays finite."""

Numbers = npt.NDArray[np.float64]


def reference(values: npt.NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Give (columns, BINS - 1) edges and (columns, BINS) shares of training data (rows, columns).

    Edges are the deciles; a column of few distinct values has equal edges, and empty bins between.
    """
    columns = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    edges = np.nanquantile(columns, np.arange(1, BINS) / BINS, axis=0).T
    return edges, _shares(_count(columns, edges))


class Drift:
    """PSI of each column of one input over the last `rows` to twice `rows` rows.

    `edges` (columns, bins - 1) and `shares` (columns, bins) are those of `reference`.
    """

    def __init__(self, edges: Numbers, shares: Numbers, rows: int = 2000) -> None:
        self._edges, self._then, self._most = edges, shares, rows
        self._rows = 0
        self._now = np.zeros(shares.shape)
        self._before = np.zeros(shares.shape)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count rows (..., columns)."""
        columns = np.asarray(values, np.float64).reshape(-1, self._edges.shape[0])
        self._now += _count(columns, self._edges)
        self._rows += len(columns)
        if self._rows >= self._most:
            self._before, self._now, self._rows = self._now, np.zeros(self._now.shape), 0

    def psi(self) -> Numbers:
        """(columns) the index; NaN until as many rows as bins have come."""
        counts = self._now + self._before
        now = _shares(counts)
        index: Numbers = ((now - self._then) * np.log(now / self._then)).sum(axis=1)
        index[counts.sum(axis=1) < self._then.shape[1]] = np.nan
        return index


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], rows: int) -> dict[str, Drift]:
    """Input -> its counter, of the arrays `edges/NAME` and `shares/NAME` of a folder."""
    names = [key.removeprefix("edges/") for key in arrays if key.startswith("edges/")]
    return {
        name: Drift(arrays[f"edges/{name}"], arrays[f"shares/{name}"], rows)
        for name in names
        if f"shares/{name}" in arrays
    }


def _count(columns: Numbers, edges: Numbers) -> Numbers:
    """(columns, bins) how many rows fall into each; NaN into none."""
    counts = np.zeros((edges.shape[0], edges.shape[1] + 1))
    for index, edge in enumerate(edges):
        values = columns[:, index]
        bins = np.searchsorted(edge, values[~np.isnan(values)], side="right")
        counts[index] = np.bincount(bins, minlength=counts.shape[1])
    return counts


def _shares(counts: Numbers) -> Numbers:
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares: Numbers = np.maximum(counts / total, LEAST_SHARE)
    return shares
