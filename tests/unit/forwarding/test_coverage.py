"""Runs of seqs against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding.coverage import Coverage

MOST = 40
runs = st.lists(st.tuples(st.integers(1, MOST), st.integers(-2, 8)), max_size=12)


def both(found: list[tuple[int, int]]) -> tuple[Coverage, set[int]]:
    coverage, plain = Coverage(), set[int]()
    for first, length in found:
        coverage.add(first, first + length)
        plain |= set(range(first, first + length + 1))
    return coverage, plain


@given(runs)
def test_it_is_the_set_of_what_was_added(found: list[tuple[int, int]]) -> None:
    coverage, plain = both(found)
    everything = range(1, MOST + 12)
    assert [seq for seq in everything if coverage.covers(seq)] == sorted(plain)
    assert coverage.top == max(plain, default=0)
    whole = next(seq for seq in everything if seq not in plain) - 1
    assert coverage.whole == whole
    kept = list(coverage)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(kept))
    assert coverage.islands == sum(first > whole for first, _ in kept)


@given(runs, st.integers(1, MOST), st.integers(0, MOST))
def test_what_is_missing_in_a_range(found: list[tuple[int, int]], first: int, length: int) -> None:
    coverage, plain = both(found)
    last = first + length
    missing = [seq for seq in range(first, last + 1) if seq not in plain]
    assert coverage.missing(first, last) == (missing[0] if missing else 0)
    assert coverage.count(first, last) == length + 1 - len(missing)
    assert coverage.missing(first, first - 1) == 0


@given(runs, st.integers(1, MOST), st.integers(-2, MOST))
def test_what_is_taken_out_is_not_there(
    found: list[tuple[int, int]], first: int, length: int
) -> None:
    coverage, plain = both(found)
    coverage.remove(first, first + length)
    plain -= set(range(first, first + length + 1))
    assert {seq for run in coverage for seq in range(run[0], run[1] + 1)} == plain
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(list(coverage)))


@given(runs, runs, st.integers(1, MOST), st.integers(0, MOST))
def test_only_what_lies_within_is_taken(
    mine: list[tuple[int, int]], bounds: list[tuple[int, int]], first: int, length: int
) -> None:
    coverage, plain = both(mine)
    within, allowed = both(bounds)
    coverage.add_within(first, first + length, within)
    plain |= set(range(first, first + length + 1)) & allowed
    assert {seq for seq in range(1, MOST + 12) if coverage.covers(seq)} == plain
