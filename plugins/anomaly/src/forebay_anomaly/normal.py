"""What is normal for some tags: the place and spread of their window means, learnt from rows.

The score of a window is Hotelling's T² of its mean, over a limit (H. Hotelling, Multivariate
Quality Control, 1947), with a correlation that is shrunk towards none, so that few rows of many
tags still give a usable inverse (as O. Ledoit and M. Wolf, 2004). Pure; must not know the plugin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

TINY = 1e-30
LEAST_SPREAD = 1e-4
"""A tag's spread is at least this part of its level: one that stood still may move a little."""


@dataclass(frozen=True)
class Recipe:
    """How to learn: what training chose.

    Attributes:
        shrink: 0 to 1, how far correlations are drawn to none.
        factor: the limit, as a multiple of the largest T² among the rows learnt from.
    """

    shrink: float
    factor: float


@dataclass(frozen=True)
class Normal:
    """(tags) centre and (tags, tags) precision: score = d · precision · d of d = mean - centre."""

    centre: Numbers
    precision: Numbers


def learn(rows: Numbers, window_rows: int, recipe: Recipe) -> Normal:
    """Learn from `rows` (rows, tags) without NaN, as seen through windows of `window_rows`.

    Raises:
        ValueError: there are too few rows for two windows.
    """
    if len(rows) <= window_rows:
        raise ValueError(f"{len(rows)} rows hold no two windows of {window_rows}")
    middle = np.median(rows, axis=0)
    means = window_means(rows - middle, window_rows)
    centre = means.mean(axis=0)
    apart = means - centre
    spread = apart.std(axis=0) + LEAST_SPREAD * np.abs(middle) + TINY
    apart = apart / spread
    correlation = apart.T @ apart / len(apart)
    shrunk = (1 - recipe.shrink) * correlation + recipe.shrink * np.eye(len(spread))
    inverse = np.linalg.inv(shrunk)
    largest = float(np.einsum("ij,jk,ik->i", apart, inverse, apart).max())
    limit = max(largest * recipe.factor, TINY)
    return Normal(middle + centre, inverse / np.outer(spread, spread) / limit)


def window_means(rows: Numbers, window_rows: int) -> Numbers:
    """(rows - window_rows + 1, tags) the mean of every window."""
    sums = np.cumsum(np.vstack([np.zeros(rows.shape[1]), rows]), axis=0)
    means: Numbers = (sums[window_rows:] - sums[:-window_rows]) / window_rows
    return means
