"""The plant's quantities stay in their bounds, move smoothly and are the same at every start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.testing.plant.signals import Choice, Count, Load, Share, Stroke, Wave

TIMES = st.floats(0, 1e7)


@given(st.text(max_size=20), TIMES)
def test_a_wave_stays_within_its_swing_and_has_no_jumps(name: str, time_s: float) -> None:
    wave = Wave(50.0, 4.0, 30.0)
    here, soon = wave.at(name, time_s), wave.at(name, time_s + 0.01)
    assert 46.0 - 1e-9 <= here <= 54.0 + 1e-9
    assert abs(here - soon) < 0.05
    assert here == wave.at(name, time_s)


def test_no_two_waves_run_alike() -> None:
    wave = Wave(0.0, 1.0, 30.0)
    assert [wave.at("a", t) for t in range(9)] != [wave.at("b", t) for t in range(9)]


@given(TIMES)
def test_loads_run_alike_but_for_a_ripple(time_s: float) -> None:
    load = Load(42.0, 18.0, 2.0)
    assert abs(load.at("L1", time_s) - load.at("L2", time_s)) <= 3.6 + 1e-9
    assert 24.0 - 1e-9 <= load.at("L1", time_s) <= 60.0 + 1e-9


@given(TIMES)
def test_a_counter_never_goes_back(time_s: float) -> None:
    counter = Count(10, 0.7)
    assert 10 <= counter.at("", time_s) <= counter.at("", time_s + 1)


@given(TIMES)
def test_a_stroke_begins_and_ends_at_the_top(time_s: float) -> None:
    stroke = Stroke(400.0, 4.0)
    assert 0.0 <= stroke.at("", time_s) <= 400.0
    assert stroke.at("", 0.0) == 400.0
    assert stroke.at("", 2.0) == 0.0


def test_a_share_is_true_for_its_share() -> None:
    share = Share(0.25, 8.0)
    assert sum(share.at("x", n / 100) for n in range(800)) == 200


def test_a_choice_takes_turns() -> None:
    choice = Choice(("a", "b"), 2.0)
    assert [choice.at("", t) for t in range(6)] == ["a", "a", "b", "b", "a", "a"]
