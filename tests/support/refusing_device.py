"""A device that refuses what it likes, and the search for a plan that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from forebay.acquisition.plan import Learned, Plan, plan
from forebay.acquisition.refine import refine
from forebay.interfaces import Refusal, Span, SpanLimits

if TYPE_CHECKING:
    from forebay.interfaces import Block

OUT_OF_RANGE = 0x803C_0000
BUSY = 0x808D_0000


def words(*starts: int, count: int = 1) -> list[Span]:
    return [Span("holding", start, count) for start in starts]


def limits(max_count: int = 125, max_hole: int = 8) -> SpanLimits:
    return SpanLimits(max_count, max_hole)


def blocks_of(
    spans: list[Span], most: SpanLimits, learned: Learned | None = None
) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(b.start, b.count, b.columns) for b in plan(spans, lambda _: most, learned).blocks]


@dataclass
class Device:
    """Refuses a block that touches one of `illegal`, crosses one of `edges` or is too long."""

    illegal: frozenset[int] = frozenset()
    edges: frozenset[int] = frozenset()
    longest: int = 65_536
    busy: bool = False

    def refuses(self, start: int, count: int) -> bool:
        return (
            count > self.longest
            or any(start <= a < start + count for a in self.illegal)
            or any(start < a < start + count for a in self.edges)
        )

    def scan(self, blocks: tuple[Block, ...]) -> tuple[Refusal, ...]:
        if self.busy:
            return tuple(Refusal(i, BUSY, "busy", permanent=False) for i, _ in enumerate(blocks))
        return tuple(
            Refusal(i, OUT_OF_RANGE, "illegal data address")
            for i, block in enumerate(blocks)
            if self.refuses(block.start, block.count)
        )


def settle(
    spans: list[Span], most: SpanLimits, device: Device, learned: Learned | None = None
) -> tuple[Plan, Learned, int]:
    """Scan and refine until nothing is new.

    Gives the last plan, what was learned, and how many scans had refusals.
    """
    learned = learned or Learned()
    refused_scans = 0
    for _ in range(20 * len(spans) + 20):
        current = plan(spans, lambda _: most, learned)
        check_covers(current, spans, most)
        refusals = device.scan(current.blocks)
        refused_scans += bool(refusals)
        new = refine(current, refusals, learned)
        if new is learned:
            return current, learned, refused_scans
        learned = new
    pytest.fail("never settles")


def check_covers(done: Plan, spans: list[Span], most: SpanLimits) -> None:
    """Every column exactly once, whole, inside its block; every block within the limits."""
    seen = [column for block in done.blocks for column in block.columns]
    assert sorted(seen + [column for column, _ in done.refused]) == list(range(len(spans)))
    assert len(done.blocks) == len(done.reasons) == len(done.units)
    for block in done.blocks:
        assert 1 <= block.count <= most.max_count
        assert block.columns
        end = block.start
        for column in sorted(block.columns, key=lambda c: (spans[c].start, spans[c].count)):
            span = spans[column]
            assert span.area == block.area
            assert block.start <= span.start
            assert span.start + span.count <= block.start + block.count
            assert span.start - end <= most.max_hole
            end = max(end, span.start + span.count)
        assert end == block.start + block.count
        assert block.start == min(spans[c].start for c in block.columns)


span_lists = st.lists(
    st.builds(
        Span,
        st.sampled_from(["holding", "input"]),
        st.integers(0, 150),
        st.integers(1, 4),
    ),
    max_size=60,
)
some_limits = st.builds(SpanLimits, st.integers(4, 40), st.integers(0, 10))
