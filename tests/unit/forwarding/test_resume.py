"""The destination's word decides where a session begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import UplinkMisbehaved
from forebay.forwarding import resume
from forebay.interfaces import Head, Resume
from forebay.model import Position, Stream

T = Stream.TELEMETRY


def begin(heads: list[Head], resumes: list[Resume]) -> Position:
    return resume.plan(heads, resumes).after[T]


@pytest.mark.parametrize(
    ("heads", "resumes", "after"),
    [
        ([], [], (0, 0)),
        ([Head(T, 5, 1, 10)], [], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 0)], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 7, 10)], [Resume(T, 5, 2)], (5, 2)),
        ([Head(T, 5, 1, 10)], [Resume(T, 4, 99)], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(Stream.BULK, 5, 4)], (0, 0)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9), Resume(T, 6, 1)], (6, 1)),
        ([Head(T, 6, 1, 3), Head(T, 5, 1, 10)], [Resume(T, 5, 8), Resume(T, 6, 1)], (5, 8)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 2), Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 1)], [], (0, 0)),
    ],
)
def test_where_to_begin(heads: list[Head], resumes: list[Resume], after: tuple[int, int]) -> None:
    assert begin(heads, resumes) == Position(T, *after)


@pytest.mark.parametrize("committed", [10, 11, 2**60])
def test_a_destination_ahead_of_the_journal_means_it_went_back_in_time(committed: int) -> None:
    with pytest.raises(UplinkMisbehaved, match="we only up to 9") as caught:
        begin([Head(T, 5, 1, 10)], [Resume(T, 5, committed)])
    assert "restored from an older copy" in caught.value.hint


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_nothing_uncommitted_is_passed_over(epochs: list[tuple[int, int]], rng: object) -> None:
    """Whatever the destination lacks lies behind the beginning, and is not marked committed."""
    heads = [Head(T, n + 1, 1, records + 1) for n, (records, _) in enumerate(epochs)]
    done = {n + 1: min(records, wanted) for n, (records, wanted) in enumerate(epochs)}
    start = resume.plan(heads, [Resume(T, epoch, seq) for epoch, seq in done.items()])
    for head in heads:
        for seq in range(1, head.next_seq):
            committed = seq <= done[head.epoch]
            assert committed == (seq <= start.committed.get((T, head.epoch), 0))
            if not committed:
                assert (head.epoch, seq) > start.after[T][1:]


def test_a_tail_that_the_disk_has_lost_of_an_older_epoch_holds_nothing_up() -> None:
    heads = [Head(Stream.TELEMETRY, 1, 1, 10), Head(Stream.TELEMETRY, 2, 1, 4)]
    start = resume.plan(heads, [Resume(Stream.TELEMETRY, 1, 12), Resume(Stream.TELEMETRY, 2, 1)])
    assert start.after[Stream.TELEMETRY] == Position(Stream.TELEMETRY, 2, 1)
