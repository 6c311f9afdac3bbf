"""Runs of numbers and accounts of positions, held to plain sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Position, Stream
from forebay.positions import Account, Runs

SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=12)


@given(SPANS)
def test_runs_are_the_set_of_their_numbers(spans: list[tuple[int, int]]) -> None:
    runs, plain = Runs(), set[int]()
    for first, last in spans:
        runs.add(first, last)
        plain.update(range(first, last + 1))
    found = list(runs)
    assert {n for first, last in found for n in range(first, last + 1)} == plain
    assert all(b[0] > a[1] + 1 for a, b in pairwise(found)), "they touch"
    assert {n for n in range(50) if n in runs} == plain
    whole = 0
    while whole + 1 in plain:
        whole += 1
    assert runs.whole == whole
    assert list(runs.islands) == [run for run in found if run[0] > 1]
    for first, last in spans:
        assert runs.covers(first, last) or last < first
    assert not runs.covers(1, 99)


def test_an_account_keeps_what_is_asked_for_and_each_streams_newest() -> None:
    account = Account()
    for epoch in (1, 2, 3):
        account.add(Stream.TELEMETRY, epoch, 1, 5)
    account.add(Stream.EVENTS, 2, 4, 5)
    account.keep([(Stream.TELEMETRY, 1)])
    told = [(stream, epoch, list(runs)) for stream, epoch, runs in account]
    assert told == [
        (Stream.EVENTS, 2, [(4, 5)]),
        (Stream.TELEMETRY, 1, [(1, 5)]),
        (Stream.TELEMETRY, 3, [(1, 5)]),
    ]
    assert Position(Stream.EVENTS, 2, 4) in account
    assert Position(Stream.EVENTS, 2, 3) not in account
    assert Position(Stream.AUDIT, 9, 1) not in account
    assert account.runs(Stream.AUDIT, 9).whole == 0
