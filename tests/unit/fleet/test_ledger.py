"""The interval set against a plain set, under everything that can be added in any order."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet.ledger import (
    GENESIS,
    MAX_REPORTED_ISLANDS,
    Coverage,
    Island,
    extend,
)

HIGHEST = 60
RANGES = st.lists(
    st.tuples(st.integers(1, HIGHEST), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])),
    max_size=30,
)


def runs(numbers: set[int]) -> list[Island]:
    """The runs of consecutive numbers, found the slow way."""
    found: list[Island] = []
    for number in sorted(numbers):
        if found and found[-1].last == number - 1:
            found[-1] = Island(found[-1].first, number)
        else:
            found.append(Island(number, number))
    return found


@given(RANGES)
def test_coverage_is_a_set(ranges: list[tuple[int, int]]) -> None:
    coverage, model = Coverage(), set[int]()
    for first, last in ranges:
        coverage.add(first, last)
        model |= set(range(first, last + 1))
        expected = runs(model)
        committed = expected.pop(0).last if expected and expected[0].first == 1 else 0
        assert coverage.committed == committed
        assert list(coverage.islands) == expected
        assert coverage.count == len(model)
    for number in range(HIGHEST + 20):
        assert coverage.covers(number) == (number in model)


@given(RANGES, st.integers(1, HIGHEST), st.integers(0, HIGHEST))
def test_holes_are_what_is_not_covered(
    ranges: list[tuple[int, int]], first: int, length: int
) -> None:
    coverage = Coverage()
    for run in ranges:
        coverage.add(*run)
    asked = range(first, first + length + 1)
    assert coverage.holes(asked[0], asked[-1]) == runs(
        {number for number in asked if not coverage.covers(number)}
    )


@given(RANGES)
def test_packing_keeps_everything(ranges: list[tuple[int, int]]) -> None:
    coverage = Coverage()
    for run in ranges:
        coverage.add(*run)
    again = Coverage.unpack(coverage.committed, coverage.pack())
    assert (again.committed, again.islands) == (coverage.committed, coverage.islands)


@given(st.permutations(range(1, 20)))
def test_any_order_ends_in_one_run(order: list[int]) -> None:
    coverage = Coverage()
    for number in order:
        coverage.add(number, number)
    assert (coverage.committed, coverage.islands) == (19, ())


def test_huge_ranges_cost_nothing() -> None:
    coverage = Coverage()
    coverage.add(1 << 40, 1 << 61)
    coverage.add(1, (1 << 40) - 1)
    assert (coverage.committed, coverage.islands) == (1 << 61, ())


def test_reported_islands_are_few_those_touched_last_and_the_longest() -> None:
    coverage = Coverage()
    for number in range(100):
        coverage.add(10 * number + 5, 10 * number + 6)
    islands = coverage.islands
    coverage.add(700, 750)
    longest = next(island for island in coverage.islands if island.last == 750)
    told = coverage.reported([506, 7, 100_000, 506, 8])
    assert len(told) == MAX_REPORTED_ISLANDS
    assert told == tuple(sorted(told))
    assert {Island(505, 506), longest} <= set(told) <= set(coverage.islands)
    many = coverage.reported(range(5, 505, 10))
    assert many == islands[50 - MAX_REPORTED_ISLANDS : 50]


def test_chain_is_sha256_of_chain_and_hash() -> None:
    first, second = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    expected = hashlib.sha256(hashlib.sha256(bytes(32) + first).digest() + second).digest()
    assert extend(extend(GENESIS, first), second) == expected
