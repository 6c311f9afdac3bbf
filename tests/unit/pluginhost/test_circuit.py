"""When a plugin is started again, and when it is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.pluginhost.circuit import Budget, Circuit, CircuitState
from forebay.settings import BackoffSettings

BUDGET = Budget(
    failures=3,
    within_s=100.0,
    cool_s=60.0,
    most_cool_s=200.0,
    backoff=BackoffSettings(first=1.0, most=8.0),
)


def test_waits_longer_after_each_failure_then_opens() -> None:
    circuit = Circuit(BUDGET)
    assert circuit.failed(10.0, 0.0) is False
    assert circuit.until_s == 10.5
    assert circuit.failed(20.0, 0.0) is False
    assert circuit.until_s == 21.0
    assert circuit.state is CircuitState.CLOSED
    assert circuit.failed(30.0, 1.0) is True
    assert (circuit.state, circuit.until_s) == (CircuitState.OPEN, 90.0)


def test_failures_that_lie_far_apart_do_not_open_it() -> None:
    circuit = Circuit(BUDGET)
    for number in range(20):
        assert circuit.failed(number * 60.0, 0.5) is False
        circuit.worked()
    assert circuit.state is CircuitState.CLOSED


def test_one_that_works_once_after_each_start_is_looping() -> None:
    circuit = Circuit(BUDGET)
    opened = []
    for number in range(3):
        circuit.begin()
        circuit.worked()
        opened.append(circuit.failed(float(number), 0.0))
    assert opened == [False, False, True]


def test_a_probe_that_fails_opens_it_for_longer_and_one_that_works_closes_it() -> None:
    circuit = Circuit(BUDGET)
    for now_s in (0.0, 1.0, 2.0):
        circuit.failed(now_s, 1.0)
    waits = []
    now_s = 2.0
    for _ in range(4):
        waits.append(circuit.until_s - now_s)
        now_s = circuit.until_s
        circuit.begin()
        assert circuit.state is CircuitState.HALF_OPEN
        assert circuit.failed(now_s, 1.0) is False, "it was open already"
    assert waits == [60.0, 120.0, 200.0, 200.0]
    circuit.begin()
    circuit.worked()
    assert (circuit.state, circuit.until_s) == (CircuitState.CLOSED, 0.0)
    assert circuit.failed(now_s, 0.0) is False, "it begins again from nothing"


def test_a_person_closes_it() -> None:
    circuit = Circuit(BUDGET)
    for now_s in (0.0, 1.0, 2.0):
        circuit.failed(now_s, 1.0)
    circuit.reset()
    assert (circuit.state, circuit.until_s) == (CircuitState.CLOSED, 0.0)


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans(), st.floats(0, 0.999)), max_size=60))
def test_the_next_start_is_never_far(steps: list[tuple[float, bool, float]]) -> None:
    """However it goes, the next start is at most the longest cool-down away."""
    circuit, now_s = Circuit(BUDGET), 0.0
    for passed_s, works, draw in steps:
        now_s = max(now_s, circuit.until_s) + passed_s
        circuit.begin()
        if works:
            circuit.worked()
            assert circuit.state is CircuitState.CLOSED
        circuit.failed(now_s, draw)
        assert now_s < circuit.until_s <= now_s + BUDGET.most_cool_s
