"""Runs of what a consumer was given: never too few records in them, and never many runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.journal.given import RUNS_MOST, Run, Runs, behind, bounded, joined, touches

SPOTS = st.tuples(st.integers(1, 3), st.integers(1, 40))
RUNS = st.tuples(SPOTS, SPOTS).map(lambda pair: Run(min(pair), max(pair)))


def test_segments_that_follow_each_other_are_one_run() -> None:
    runs: Runs = ()
    before = None
    for n in range(50):
        segment = Run((1, 10 * n + 1), (1, 10 * n + 10))
        runs = joined(runs, segment, before)
        before = segment
    assert runs == (Run((1, 1), (1, 491)),)
    assert touches(runs, (1, 491), (1, 500))
    assert not touches(runs, (1, 501), (1, 510))


def test_what_is_read_at_two_places_is_two_runs() -> None:
    backlog, fresh = Run((1, 1), (1, 10)), Run((1, 91), (1, 100))
    runs = joined(joined((), backlog, None), fresh, Run((1, 81), (1, 90)))
    assert len(runs) == 2
    assert not touches(runs, (1, 11), (1, 90))
    assert joined(runs, fresh, None) == runs


@given(st.lists(RUNS, max_size=200))
def test_many_runs_become_few_that_hold_them_all(many: list[Run]) -> None:
    few = bounded(tuple(many))
    assert len(few) <= RUNS_MOST
    assert all(touches(few, run.first, run.last) for run in many)
    assert all(touches(few, run.first, run.first) for run in many)
    if len(many) <= RUNS_MOST:
        assert sorted(few) == sorted(many)


@given(st.lists(RUNS, max_size=20), SPOTS)
def test_what_is_passed_is_forgotten(many: list[Run], spot: tuple[int, int]) -> None:
    left = behind(tuple(many), spot)
    assert all(run.last > spot for run in left)
    assert [run for run in many if run.last > spot] == list(left)
