"""What requests are held to take, by what was measured, and the holes that are bridged by it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.modbus.cost import (
    GUESSED_REGISTER_S,
    MEASURED_LEAST,
    MEASURED_MOST,
    Meter,
    Meters,
    cheapest_hole,
    serial_cost,
)
from forebay.interfaces import Cost


def measured(request_s: float, unit_s: float, counts: list[int], *, noise: float = 0.0) -> Meter:
    """A meter that timed a device which takes this long; answers come late at random."""
    rng, meter = random.Random(1), Meter(GUESSED_REGISTER_S)
    for number in range(MEASURED_MOST):
        count = counts[number % len(counts)]
        late_s = rng.expovariate(1) * noise * request_s
        meter.note(count, request_s + count * unit_s + late_s)
    return meter


def parts(cost: Cost) -> tuple[float, float]:
    return cost.per_request_s, cost.per_unit_s


@given(st.floats(1e-4, 0.1), st.floats(1e-6, 2e-3), st.lists(st.integers(1, 125), min_size=9))
def test_both_parts_of_the_cost_are_found(
    request_s: float, unit_s: float, counts: list[int]
) -> None:
    cost = measured(request_s, unit_s, [*counts, 1, 125] * 3).cost()
    assert cost is not None
    assert cost.of(60) == pytest.approx(request_s + 60 * unit_s, rel=0.01, abs=1e-6)


def test_noise_bridges_less_and_not_more() -> None:
    quiet = measured(5e-3, 100e-6, [1, 4, 30, 60, 100, 125]).cost()
    noisy = measured(5e-3, 100e-6, [1, 4, 30, 60, 100, 125], noise=0.5).cost()
    assert quiet is not None
    assert noisy is not None
    assert quiet.per_unit_s == pytest.approx(100e-6, rel=0.01)
    assert 100e-6 < noisy.per_unit_s < 150e-6


@pytest.mark.parametrize("late_s", [0.01, 10.0])
def test_a_few_answers_that_came_much_too_late_change_little(late_s: float) -> None:
    rng, meter = random.Random(1), Meter(GUESSED_REGISTER_S)
    for _ in range(MEASURED_MOST):
        count = rng.choice([1, 2, 5, 20, 60, 125])
        meter.note(count, 1e-3 + count * 20e-6 + (late_s if rng.random() < 0.15 else 0.0))
    cost = meter.cost()
    assert cost is not None
    assert parts(cost) == pytest.approx((1e-3, 20e-6), rel=0.1)


def test_nothing_is_said_before_enough_was_measured() -> None:
    meter = Meter(GUESSED_REGISTER_S)
    for _ in range(MEASURED_LEAST - 1):
        assert meter.cost() is None
        meter.note(10, 1e-3)
    meter.note(10, 1e-3)
    assert meter.cost() is not None


def test_requests_of_one_length_leave_it_at_a_guess_that_is_never_more_than_half() -> None:
    slow = measured(20e-3, 0.0, [2]).cost()
    fast = measured(20e-6, 0.0, [100]).cost()
    assert slow is not None
    assert fast is not None
    assert parts(slow) == pytest.approx((20e-3 - 2 * GUESSED_REGISTER_S, GUESSED_REGISTER_S))
    assert parts(fast) == pytest.approx((10e-6, 0.1e-6))


def test_what_a_place_costs_is_kept_when_requests_have_become_alike() -> None:
    meter = measured(20e-3, 1e-3, [2, 125])
    before = meter.cost()
    assert before is not None
    for _ in range(MEASURED_MOST):
        meter.note(60, 80e-3)
    after = meter.cost()
    assert after is not None
    assert after.per_unit_s == pytest.approx(before.per_unit_s, rel=0.4)


def test_a_clock_that_stands_still_says_nothing() -> None:
    meter = Meter(GUESSED_REGISTER_S)
    for _ in range(MEASURED_LEAST):
        meter.note(10, 0.0)
    assert meter.cost() is None


@pytest.mark.parametrize(
    ("cost", "most", "hole"),
    [
        (None, 125, 8),
        (None, 6, 4),
        (None, 1, 0),
        (Cost(10e-3, 1e-3), 125, 10),
        (Cost(10e-3, 1.01e-3), 125, 9),
        (Cost(1.0, 1e-6), 125, 123),
        (Cost(0.0, 1e-3), 125, 0),
    ],
)
def test_a_hole_is_bridged_while_that_costs_less_than_another_request(
    cost: Cost | None, most: int, hole: int
) -> None:
    assert cheapest_hole(cost, most, 8) == hole


def test_a_serial_line_takes_what_its_characters_take() -> None:
    character_s = 11 / 9600
    rtu = serial_cost(character_s, in_ascii=False, bits=False)
    assert rtu.of(10) == pytest.approx((8 + 5 + 20 + 7) * character_s)
    coils = serial_cost(character_s, in_ascii=False, bits=True)
    assert coils.of(80) == pytest.approx((8 + 5 + 10 + 7) * character_s)
    # Colon, ten or so pairs of hex digits, CR, LF: 17 characters to ask for ten registers, 51 back.
    in_ascii = serial_cost(character_s, in_ascii=True, bits=False)
    assert in_ascii.of(10) == pytest.approx((17 + 11 + 40) * character_s)


def test_on_a_serial_line_places_are_not_measured_and_the_device_is() -> None:
    meters = Meters(11 / 9600)
    before = meters.cost("holding")
    assert before is not None
    assert before == serial_cost(11 / 9600, in_ascii=False, bits=False)
    for count in [1, 100] * MEASURED_LEAST:
        meters.of("holding").note(count, before.of(count) + 0.03)
    after = meters.cost("holding")
    assert after is not None
    assert parts(after) == pytest.approx((before.per_request_s + 0.03, before.per_unit_s))
    assert cheapest_hole(after, 125, 8) > cheapest_hole(before, 125, 8)
    assert meters.cost("coil") == serial_cost(11 / 9600, in_ascii=False, bits=True)


def test_of_a_network_nothing_is_known_beforehand() -> None:
    assert Meters(None).cost("holding") is None
