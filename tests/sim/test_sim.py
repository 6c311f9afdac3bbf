"""A short form of `make sim`: the first runs, and every seed that ever broke a promise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sim.trouble import judged, simulate
from sim.verdict import LOOSELY, LOSSLESS

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = int(os.environ.get("SIM_FIRST", "1"))
RUNS = 20
BROKE_ONCE = (4006, 4023, 5040, 5044, 5196, 20000, 20087)
"""Seeds that found a defect. A change of the simulation gives them another course."""
BROKE_ONCE_SPARED = (52097, 53096)
"""The same, of runs that were spared some troubles. 52097 still ends with a journal that a step of
a disciplined clock made too old; 53096, a gap within another, goes another way by now, and the
retention's own tests hold the case."""


@pytest.fixture(scope="module")
def verdicts() -> Iterator[list[str]]:
    """How each run was judged; of all of them at least half exactly, and some most strictly."""
    found: list[str] = []
    yield found
    if len(found) == RUNS:
        assert found.count(LOOSELY) <= RUNS / 2, found
        assert LOSSLESS in found, found


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_in_which_everything_goes_wrong(number: int, verdicts: list[str]) -> None:
    verdicts.append(judged(simulate(FIRST + number)))


@pytest.mark.parametrize("seed", BROKE_ONCE)
def test_what_broke_once_holds(seed: int) -> None:
    simulate(seed, sparing=False)


@pytest.mark.parametrize("seed", BROKE_ONCE_SPARED)
def test_what_broke_once_while_some_troubles_were_spared_holds(seed: int) -> None:
    simulate(seed)
