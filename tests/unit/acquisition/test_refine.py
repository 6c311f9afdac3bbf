"""What refusals teach, of a device that refuses addresses, boundaries and long requests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.plan import Learned, Plan, plan
from forebay.acquisition.refine import MAX_PROBES, probe, refine
from forebay.interfaces import Block, Refusal, Span, SpanLimits
from support.refusing_device import (
    OUT_OF_RANGE,
    Device,
    blocks_of,
    limits,
    settle,
    some_limits,
    span_lists,
    words,
)


def test_one_bad_register_costs_log_n_scans_and_leaves_its_neighbours_merged() -> None:
    spans = words(*range(125))
    done, learned, refused_scans = settle(spans, limits(), Device(frozenset({77})))
    assert [(b.start, b.count) for b in done.blocks] == [(0, 77), (78, 47)]
    assert learned.refused_columns == {77}
    assert done.refused == ((77, OUT_OF_RANGE),)
    assert refused_scans <= math.ceil(math.log2(125)) + 1


def test_a_bad_hole_is_left_out_before_any_tag_is_suspected() -> None:
    spans = words(0, 1, 5, 6, 10, 11, 15, 16)
    done, learned, _ = settle(spans, limits(), Device(frozenset({3})))
    assert learned.refused_columns == frozenset()
    assert [(b.start, b.count) for b in done.blocks] == [(0, 2), (5, 12)]
    assert done.reasons[1] == "the device refuses a request that reaches across"


def test_a_boundary_that_no_request_may_cross_is_found() -> None:
    spans = words(*range(100))
    done, learned, _ = settle(spans, limits(), Device(edges=frozenset({64})))
    assert [(b.start, b.count) for b in done.blocks] == [(0, 64), (64, 36)]
    assert learned.refused_columns == frozenset()


def test_a_busy_device_teaches_nothing() -> None:
    spans = words(*range(10))
    device = Device(busy=True)
    current = plan(spans, lambda _: limits())
    learned = Learned()
    assert refine(current, device.scan(current.blocks), learned) is learned


def test_a_search_waits_while_the_device_is_busy() -> None:
    spans, device = words(*range(8)), Device(frozenset({5}))
    first = plan(spans, lambda _: limits())
    searching = refine(first, device.scan(first.blocks), Learned())
    second = plan(spans, lambda _: limits(), searching)
    device.busy = True
    assert refine(second, device.scan(second.blocks), searching) is searching
    device.busy = False
    done, learned, _ = settle(spans, limits(), device, searching)
    assert learned.refused_columns == {5}
    assert len(done.blocks) == 2


def test_a_refused_tag_is_asked_alone_again_and_comes_back() -> None:
    spans, device = words(*range(20)), Device(frozenset({4}))
    _, learned, _ = settle(spans, limits(), device)
    asking = probe(learned)
    again = plan(spans, lambda _: limits(), asking)
    assert again.blocks[-1] == Block("holding", 4, 1, (4,))
    still = refine(again, device.scan(again.blocks), asking)
    assert still.refused_columns == {4}
    assert not still.due
    device.illegal = frozenset()
    asking = probe(still)
    again = plan(spans, lambda _: limits(), asking)
    healed = refine(again, device.scan(again.blocks), asking)
    assert blocks_of(spans, limits(), healed) == [(0, 20, tuple(range(20)))]


def test_probes_are_bounded_and_take_turns() -> None:
    spans, device = words(*range(0, 1000, 10)), Device(frozenset(range(1000)))
    _, learned, _ = settle(spans, limits(), device)
    assert len(learned.refused) == 100
    asked: set[int] = set()
    for _ in range(math.ceil(100 / MAX_PROBES)):
        asking = probe(learned)
        assert len(asking.due) <= MAX_PROBES
        done = plan(spans, lambda _: limits(), asking)
        asked.update(c for block in done.blocks for c in block.columns)
        learned = refine(done, device.scan(done.blocks), asking)
    assert asked == set(range(100))


def test_no_scan_grows_without_bound_when_everything_is_refused() -> None:
    spans, device = words(*range(2000)), Device(frozenset(range(2000)))
    learned, most = Learned(), 0
    while True:
        current = plan(spans, lambda _: limits(), learned)
        most = max(most, len(current.blocks))
        new = refine(current, device.scan(current.blocks), learned)
        if new is learned:
            break
        learned = new
    assert not current.blocks
    assert most <= 16 + MAX_PROBES * 8


@pytest.mark.parametrize("longest", [1, 2, 10, 20, 32, 50, 64, 100, 120, 124])
def test_a_device_that_takes_only_shorter_requests_gets_the_longest_it_takes(longest: int) -> None:
    spans = words(*range(1_000))
    done, learned, refused_scans = settle(spans, limits(), Device(longest=longest))
    assert [b.count for b in done.blocks[:-1]] == [longest] * (len(done.blocks) - 1)
    assert len(done.blocks) == math.ceil(1_000 / longest)
    assert learned.walls == frozenset()
    assert learned.refused == {}
    assert refused_scans <= 2 * math.ceil(math.log2(125))
    if longest > 1:
        assert done.reasons[1] == f"the device refuses longer requests than {longest}"


def test_a_shorter_longest_is_found_over_holes_too() -> None:
    spans = words(*range(0, 2_000, 3))
    done, learned, _ = settle(spans, limits(), Device(longest=50))
    assert len(done.blocks) <= math.ceil(2_000 / 50) + 2
    assert len(learned.walls) <= 1
    assert learned.refused == {}


def test_a_shorter_longest_and_bad_registers_are_told_apart() -> None:
    spans, bad = words(*range(1_000)), frozenset({3, 500, 501, 977})
    done, learned, refused_scans = settle(spans, limits(), Device(bad, longest=100))
    assert learned.refused_columns == bad
    assert learned.lengths["holding"].most == 100
    assert len(done.blocks) <= 10 + len(bad)
    assert refused_scans <= 30


def test_one_area_is_cut_shorter_and_the_others_are_not() -> None:
    spans = [Span(area, start, 1) for area in ("holding", "input") for start in range(250)]

    def refusals(done: Plan) -> list[Refusal]:
        return [
            Refusal(number, OUT_OF_RANGE, "illegal data value")
            for number, block in enumerate(done.blocks)
            if block.area == "input" and block.count > 60
        ]

    learned = Learned()
    for _ in range(30):
        done = plan(spans, lambda _: limits(), learned)
        learned = refine(done, refusals(done), learned)
    assert [b.count for b in done.blocks] == [125, 125, 60, 60, 60, 60, 10]


@given(
    span_lists,
    some_limits,
    st.frozensets(st.integers(0, 155), max_size=40),
    st.frozensets(st.integers(1, 155), max_size=6),
    st.integers(1, 41),
)
def test_whatever_a_device_refuses_the_plan_settles_on_all_that_it_gives(
    spans: list[Span],
    most: SpanLimits,
    illegal: frozenset[int],
    edges: frozenset[int],
    longest: int,
) -> None:
    device = Device(illegal, edges, longest)
    done, learned, _ = settle(spans, most, device)
    hopeless = {i for i, s in enumerate(spans) if device.refuses(s.start, s.count)}
    assert learned.refused_columns == hopeless
    assert {column for column, _ in done.refused} == hopeless
    assert device.scan(done.blocks) == ()


@given(st.sets(st.integers(0, 1_999), min_size=1, max_size=MAX_PROBES))
def test_few_bad_registers_among_many_are_found_in_log_n_scans(bad: set[int]) -> None:
    spans = words(*range(2_000))
    done, learned, refused_scans = settle(spans, limits(), Device(frozenset(bad)))
    assert learned.refused_columns == bad
    # Beside halving: the scan that finds the block, and one as a cut block fills up again.
    assert refused_scans <= math.ceil(math.log2(125)) + 2
    assert len(done.blocks) <= 16 + len(bad)
