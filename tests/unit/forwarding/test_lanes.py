"""Urgent first, and yet nobody starves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding.lanes import FLOOR, Turns
from forebay.model import Stream

ALL = list(Stream)
LARGEST = 256 << 10


def serve(lanes: Turns[Stream], ready: list[Stream], size: int) -> Stream:
    stream = lanes.pick(ready)
    lanes.served(stream, ready, size)
    return stream


def test_the_most_urgent_goes_first() -> None:
    assert Turns(ALL).pick(ALL) is Stream.AUDIT
    assert Turns(ALL).pick([Stream.TELEMETRY, Stream.BULK]) is Stream.TELEMETRY


def test_all_busy_share_by_the_floor() -> None:
    lanes = Turns(ALL)
    turns = Counter(serve(lanes, ALL, 1000) for _ in range(100_000))
    assert [turns[s] for s in ALL] == [90_000, 9_000, 900, 100]


@given(st.lists(st.integers(1, LARGEST), min_size=50, max_size=300))
def test_those_below_get_a_tenth_of_the_bytes(sizes: list[int]) -> None:
    lanes = Turns(ALL)
    got = dict.fromkeys([Stream.EVENTS, Stream.BULK], 0)
    for size in sizes:
        got[serve(lanes, list(got), size)] += size
        low, total = got[Stream.BULK], sum(got.values())
        assert FLOOR * total - LARGEST <= low <= FLOOR * total + LARGEST


@given(st.lists(st.tuples(st.sets(st.sampled_from(ALL), min_size=1), st.integers(1, LARGEST))))
def test_only_who_is_ready_is_picked_and_nobody_waits_for_ever(
    turns: list[tuple[set[Stream], int]],
) -> None:
    lanes = Turns(ALL)
    for waiting, size in turns:
        ready = [s for s in ALL if s in waiting]
        assert serve(lanes, ready, size) in ready
    assert {serve(lanes, ALL, LARGEST) for _ in range(3000)} == set(ALL)


def test_debts_end_when_nobody_waits() -> None:
    """A lower stream that was away does not come back with old claims."""
    lanes = Turns(ALL)
    serve(lanes, [Stream.EVENTS, Stream.BULK], LARGEST)
    serve(lanes, [Stream.EVENTS], LARGEST)
    assert lanes.pick([Stream.EVENTS, Stream.BULK]) is Stream.EVENTS
