"""The vectors against the same row by row, on drawn data that come in drawn pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forebay_rules.lasting import lasting, switched

CASES = 400


def pieces(rng: np.random.Generator, rows: int) -> list[slice]:
    cuts = sorted(rng.integers(0, rows + 1, rng.integers(0, 5)).tolist())
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]


def drawn(rng: np.random.Generator, rows: int) -> Any:
    return rng.choice([0.0, 1.0, math.nan], rows, p=[0.3, 0.5, 0.2])


def same(found: list[float], wanted: list[float]) -> bool:
    return np.array_equal(found, wanted, equal_nan=True)


def test_lasting_is_what_a_loop_over_rows_gives() -> None:
    rng = np.random.default_rng(1)
    for _ in range(CASES):
        rows, least = int(rng.integers(1, 30)), int(rng.integers(0, 6))
        condition, times = drawn(rng, rows), np.cumsum(rng.integers(1, 4, rows))
        wanted, since = [], None
        for true, time in zip(condition.tolist(), times.tolist(), strict=True):
            since = (time if since is None else since) if true == 1 else None
            held = since is not None and time - since >= least
            wanted.append(math.nan if math.isnan(true) else float(held))
        found: list[float] = []
        kept: int | None = None
        for part in pieces(rng, rows):
            some, kept = lasting(condition[part], times[part], kept, least)
            found.extend(some)
        assert same(found, wanted)


def test_a_switch_is_what_a_loop_over_rows_gives() -> None:
    rng = np.random.default_rng(2)
    for _ in range(CASES):
        rows = int(rng.integers(1, 30))
        value = rng.choice([-1.0, 0.0, 1.0, math.nan], rows)
        up = np.where(np.isnan(value), np.nan, value > 0.5)
        down = np.where(np.isnan(value), np.nan, value < -0.5)
        wanted, on = [], False
        for x in value.tolist():
            on = True if x > 0.5 else False if x < -0.5 else on
            wanted.append(math.nan if math.isnan(x) else float(on))
        found: list[float] = []
        kept: bool | None = None
        for part in pieces(rng, rows):
            some, kept = switched(up[part], down[part], on=kept)
            found.extend(some)
        assert same(found, wanted)
