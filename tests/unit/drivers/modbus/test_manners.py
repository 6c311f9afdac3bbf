"""Who is silent, how long a probe may take, and when the connection itself is to be doubted."""

from __future__ import annotations

import pytest

from forebay.drivers.modbus.manners import FULL_PROBE_EVERY, PATIENCE_LEAST_S, Manners


def line(*units: int) -> Manners:
    manners = Manners()
    for unit in units:
        manners.joined(unit)
    return manners


def test_a_unit_alone_on_its_connection_takes_it_along() -> None:
    manners = line(1)
    assert manners.fell_silent(1)


def test_a_silent_unit_among_others_that_answer_is_its_own_affair() -> None:
    manners = line(1, 2, 3)
    for _ in range(20):
        assert not manners.fell_silent(3)
        manners.answered(1, 0.01, 0.01)


def test_when_all_are_silent_the_connection_is_doubted() -> None:
    manners = line(1, 2, 3)
    assert not manners.fell_silent(3)
    assert not manners.fell_silent(2)
    assert manners.fell_silent(1)


def test_two_answers_that_fail_in_a_row_of_a_unit_that_spoke_are_the_connection() -> None:
    manners = line(1, 2, 3)
    manners.answered(1, 0.01, 0.01)
    assert not manners.fell_silent(1)
    assert manners.fell_silent(1)
    manners.opened()
    assert not manners.fell_silent(1)
    assert not manners.fell_silent(1), "on the new connection it never spoke"


def test_a_probe_that_others_did_not_wait_for_says_nothing_of_the_connection() -> None:
    manners = line(1, 2)
    manners.answered(1, 0.01, 0.01)
    assert not manners.fell_silent(1)
    for _ in range(5):
        manners.lost_patience(1)
    assert manners.to_probe(1)
    assert manners.fell_silent(1)


@pytest.mark.parametrize("sign", ["answer", "late", "gateway"])
def test_whatever_is_heard_shows_that_the_connection_carries(sign: str) -> None:
    manners = line(1, 2)
    manners.answered(1, 0.01, 0.01)
    assert not manners.fell_silent(1)
    if sign == "answer":
        manners.answered(2, 0.01, 0.01)
    elif sign == "late":
        manners.late(2, 0.5)
    else:
        manners.told_silent(2)
    assert not manners.fell_silent(1)


def test_who_was_silent_is_probed_until_it_answers() -> None:
    manners = line(1)
    assert not manners.to_probe(1), "alone, a unit nobody knows is simply read"
    manners.fell_silent(1)
    assert manners.to_probe(1)
    manners.answered(1, 0.01, 0.01)
    assert not manners.to_probe(1)
    manners.told_silent(1)
    assert manners.to_probe(1)


def test_where_others_would_wait_a_stranger_is_probed_first() -> None:
    manners = line(1, 2)
    assert manners.to_probe(2)
    manners.answered(2, 0.01, 0.01)
    manners.left(1)
    assert not manners.to_probe(2)


def test_patience_grows_with_what_the_line_and_the_unit_usually_take() -> None:
    manners = line(1, 2)
    assert manners.patience_s(1, 1.0, numbered=True) == PATIENCE_LEAST_S
    manners.answered(2, 0.05, 0.03)
    assert manners.patience_s(1, 1.0, numbered=True) == pytest.approx(0.12)
    manners.late(1, 0.3)
    assert manners.patience_s(1, 1.0, numbered=True) == pytest.approx(0.6)
    assert manners.patience_s(1, 0.4, numbered=True) == pytest.approx(0.4)


def test_without_transaction_ids_some_probes_wait_for_all_of_the_timeout() -> None:
    manners = line(1, 2)
    waits = [manners.patience_s(1, 1.0, numbered=False) for _ in range(2 * FULL_PROBE_EVERY)]
    full = {1, 2, FULL_PROBE_EVERY, 2 * FULL_PROBE_EVERY}
    assert waits == [1.0 if n in full else PATIENCE_LEAST_S for n in range(1, len(waits) + 1)]


def test_a_unit_whose_answer_was_spoiled_is_no_stranger_to_patience() -> None:
    manners = line(1, 2)
    for _ in range(5):
        manners.patience_s(1, 1.0, numbered=False)
    manners.doubt(1)
    assert manners.to_probe(1)
    assert manners.patience_s(1, 1.0, numbered=False) == 1.0
    manners.answered(1, 0.05, 0.01)
    manners.doubt(1)
    assert manners.patience_s(1, 1.0, numbered=False) == pytest.approx(0.1)
