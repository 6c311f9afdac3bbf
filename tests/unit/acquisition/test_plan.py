"""How tags become requests: merged, bridged, within limits, none torn."""

from __future__ import annotations

import pytest
from hypothesis import given

from forebay.acquisition.plan import plan
from forebay.interfaces import Block, Span, SpanLimits
from support.refusing_device import blocks_of, check_covers, limits, some_limits, span_lists, words


def test_neighbours_become_one_request_and_holes_are_bridged_up_to_the_limit() -> None:
    assert blocks_of(words(0, 1, 2, 11, 21), limits(max_hole=8)) == [
        (0, 12, (0, 1, 2, 3)),
        (21, 1, (4,)),
    ]


def test_a_request_is_filled_and_no_tag_is_torn() -> None:
    spans = words(*range(0, 250, 2), count=2)
    got = plan(spans, lambda _: limits())
    assert [(b.start, b.count) for b in got.blocks] == [(0, 124), (124, 124), (248, 2)]
    assert got.reasons == (
        "first of holding",
        "the block before is full (125)",
        "the block before is full (125)",
    )


def test_areas_are_asked_apart_each_with_its_own_limits() -> None:
    spans = [Span("coil", 3, 1), Span("holding", 4, 1), Span("coil", 900, 1)]
    got = plan(spans, {"coil": limits(2000, 1000), "holding": limits()}.__getitem__)
    assert got.blocks == (Block("coil", 3, 898, (0, 2)), Block("holding", 4, 1, (1,)))


def test_the_same_and_overlapping_places_are_read_once() -> None:
    spans = [Span("holding", 5, 4), Span("holding", 5, 4), Span("holding", 6, 1)]
    assert blocks_of(spans, limits()) == [(5, 4, (0, 1, 2))]


def test_what_no_request_can_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="longer than a request"):
        plan(words(0, count=126), lambda _: limits())


def test_nothing_to_read_needs_no_request() -> None:
    assert plan([], lambda _: limits()).blocks == ()


@given(span_lists, some_limits)
def test_every_column_is_covered_once_within_the_limits(
    spans: list[Span], most: SpanLimits
) -> None:
    check_covers(plan(spans, lambda _: most), spans, most)
