"""The longest request of an area is found by halving, whatever else is refused meanwhile."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.lengths import Answered, Length


@given(st.integers(0, 2000), st.integers(2, 2000), st.data())
def test_halving_finds_the_longest_request_that_is_answered(
    good: int, apart: int, data: st.DataObject
) -> None:
    longest = data.draw(st.integers(good, good + apart - 1))
    known, scans = Length(good, good + apart), 0
    while known.open:
        tried = known.most
        assert known.good <= tried < known.refused
        answered, refused = (tried, []) if tried <= longest else (0, [tried])
        known = known.narrowed(answered, refused, unhindered=True)
        scans += 1
    assert known == Length(longest, longest + 1)
    assert known.most == longest
    assert scans <= math.ceil(math.log2(apart)) + 1


def test_what_is_no_longer_than_an_answered_request_was_refused_for_another_reason() -> None:
    known = Length(60, 125)
    assert known.narrowed(92, [40, 92], unhindered=False) == Length(92, 125)
    assert known.narrowed(0, [40, 61], unhindered=False) == Length(60, 61)


def test_a_scan_that_tried_nothing_longer_tells_only_if_nothing_hindered_it() -> None:
    known = Length(60, 125)
    assert known.narrowed(10, [], unhindered=False) == known
    assert known.narrowed(10, [], unhindered=True) == Length(known.most, 125)


def test_an_answer_beyond_what_was_refused_is_believed() -> None:
    assert Length(10, 20).narrowed(30, [], unhindered=True) == Length(30, 31)


def test_the_first_suspicion_goes_by_the_longest_answer_and_the_shortest_refusal() -> None:
    scan = Answered({})
    scan.good("holding", 62)
    scan.good("coil", 1_000)
    scan.bad("holding", 125)
    assert scan.longest("holding") == 62
    assert not scan.too_long("holding", 125), "nothing is blamed on the length yet"
    scan.suspect("holding", 125)
    scan.suspect("holding", 118)
    assert scan.lengths == {"holding": Length(62, 118)}
    assert scan.too_long("holding", 118)
    assert not scan.too_long("holding", 62)
    assert not scan.too_long("coil", 2_000)
