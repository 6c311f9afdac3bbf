"""What is good enough to stay, and what goes again: gates on the data that flows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.management.probation import (
    MEMORY_GROWTH_BYTES,
    Baseline,
    Probation,
    Verdict,
    baseline,
)
from forebay.management.views import DeviceVitals, JournalVitals, UplinkVitals, Vitals
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LENGTH_S = 120.0
CHANGE_S = 1_000.0


def vitals(
    now_s: float,
    devices: Mapping[str, DeviceVitals],
    *,
    uplinks: Mapping[str, UplinkVitals] | None = None,
    **more: Any,
) -> Vitals:
    journal = more.pop("journal", JournalVitals(int(now_s), now_s, ""))
    values = {"fleet_connected": None, "memory_bytes": 1 << 26, "restarts": 0, **more}
    return Vitals(now_s, devices, journal, uplinks or {}, **values)


def polled(
    now_s: float, rate: float = 1.0, share: float = 1.0, since_s: float = 0.0
) -> DeviceVitals:
    count = int((now_s - since_s) * rate * share)
    good_s = now_s if count else None
    return DeviceVitals(since_s, count, rate, count, good_s)


def before(look: Callable[[float], Vitals]) -> Baseline:
    return baseline([look(CHANGE_S - 30.0 + second) for second in range(31)])


def verdict(
    known: Baseline, look: Callable[[float], Vitals], limit: int | None = None
) -> tuple[Verdict, float]:
    """Judge second by second; give the verdict, and when it came."""
    probation = Probation(known, look(CHANGE_S), LENGTH_S, limit)
    second = 0
    while True:
        found = probation.look(look(CHANGE_S + second))
        if found.kind != "wait":
            return found, float(second)
        second += 1
        assert second <= LENGTH_S + 1


def whole(now_s: float) -> Vitals:
    acked = UplinkVitals(0.0, int(now_s), connected=True)
    return vitals(now_s, {"press": polled(now_s)}, uplinks={"cloud": acked}, fleet_connected=True)


def test_what_goes_on_as_before_is_good() -> None:
    found, after_s = verdict(before(whole), whole)
    assert (found, after_s) == (Verdict("good"), LENGTH_S)


def test_a_device_that_gave_data_and_gives_none_is_a_reason() -> None:
    def silent(now_s: float) -> Vitals:
        bad = replace(polled(now_s, since_s=CHANGE_S), good_samples=0, last_good_s=None)
        return replace(whole(now_s), devices={"press": bad})

    found, _ = verdict(before(whole), silent)
    assert found.kind == "bad"
    assert found.reasons == (
        "device press: gave good values before the change, and gives none now",
    )


def test_polls_that_stop_are_certain_long_before_the_end() -> None:
    def stopped(now_s: float) -> Vitals:
        return replace(whole(now_s), devices={"press": polled(CHANGE_S)})

    found, after_s = verdict(before(whole), stopped)
    assert found.kind == "bad"
    assert "polled" in found.reasons[0]
    assert after_s < LENGTH_S * 0.6


def test_a_device_that_takes_its_time_to_connect_has_it() -> None:
    def slow(now_s: float) -> Vitals:
        began_s = CHANGE_S + 25.0
        there = polled(max(now_s, began_s), since_s=began_s)
        return replace(whole(now_s), devices={"press": there})

    assert verdict(before(whole), slow)[0].kind == "good"


def test_another_period_is_held_against_itself() -> None:
    def slower(now_s: float) -> Vitals:
        return replace(whole(now_s), devices={"press": polled(now_s, 0.1, since_s=CHANGE_S)})

    assert verdict(before(whole), slower)[0].kind == "good"


@pytest.mark.parametrize("known", [False, True])
def test_what_is_new_or_gave_nothing_before_is_told_of_and_no_reason(*, known: bool) -> None:
    dead = DeviceVitals(0.0, 0, 1.0, 0, None)

    def then(now_s: float) -> Vitals:
        old = whole(now_s)
        return replace(old, devices={**old.devices, **({"new": dead} if known else {})})

    def now(now_s: float) -> Vitals:
        old = whole(now_s)
        return replace(old, devices={**old.devices, "new": dead})

    found, _ = verdict(before(then), now)
    assert found.kind == "good"
    assert found.remarks == ("device new: gave no good value yet, nor before the change",)


def test_what_was_removed_is_not_missed() -> None:
    def without(now_s: float) -> Vitals:
        return replace(whole(now_s), devices={})

    assert verdict(before(whole), without)[0].kind == "good"


def test_a_destination_that_goes_deaf_is_a_reason() -> None:
    def deaf(now_s: float) -> Vitals:
        dead = UplinkVitals(CHANGE_S, 0, connected=False)
        return replace(whole(now_s), uplinks={"cloud": dead})

    assert verdict(before(whole), deaf)[0].reasons == (
        "the destination cloud acknowledged before the change, and does not now",
    )


@pytest.mark.parametrize(("acked", "kind"), [(0, "bad"), (7, "good")])
def test_if_all_destinations_are_exchanged_one_must_work(acked: int, kind: str) -> None:
    def exchanged(now_s: float) -> Vitals:
        there = acked if now_s > CHANGE_S else 0
        other = UplinkVitals(CHANGE_S, there, connected=bool(acked))
        return replace(whole(now_s), uplinks={"other": other})

    assert verdict(before(whole), exchanged)[0].kind == kind


def test_the_fleet_server_must_be_reached_if_it_was() -> None:
    def cut_off(now_s: float) -> Vitals:
        # The old stream is there for some seconds more.
        return replace(whole(now_s), fleet_connected=now_s < CHANGE_S + 5.0)

    found, _ = verdict(before(whole), cut_off)
    assert found.reasons == ("the fleet server was reached before the change, and is not now",)
    unknown, _ = verdict(before(lambda s: replace(whole(s), fleet_connected=False)), cut_off)
    assert unknown.kind == "good"


def test_memory_and_restarts_are_certain_at_once() -> None:
    def hungry(now_s: float) -> Vitals:
        return replace(whole(now_s), memory_bytes=(2 << 26) + MEMORY_GROWTH_BYTES)

    def dying(now_s: float) -> Vitals:
        return replace(whole(now_s), restarts=int(now_s > CHANGE_S))

    for look in (hungry, dying):
        found, after_s = verdict(before(whole), look)
        assert (found.kind, after_s <= 1.0) == ("bad", True)
    assert verdict(before(whole), whole, limit=1 << 20)[0].kind == "bad"


def test_what_died_again_and_again_before_is_no_reason() -> None:
    def dying(now_s: float) -> Vitals:
        return replace(whole(now_s), restarts=int(now_s))

    assert verdict(before(dying), dying)[0].kind == "good"


def test_a_journal_that_takes_nothing_is_a_reason() -> None:
    def stuck(now_s: float) -> Vitals:
        return replace(whole(now_s), journal=JournalVitals(9, CHANGE_S - 1.0, "no space"))

    assert "no space" in verdict(before(whole), stuck)[0].reasons[0]


def test_one_look_is_baseline_enough() -> None:
    assert baseline([whole(CHANGE_S)]) == replace(
        before(whole), devices=baseline([whole(CHANGE_S)]).devices
    )
    assert baseline([whole(CHANGE_S)]).devices["press"].good


rates = st.floats(0.01, 50.0)
shares = st.floats(0.0, 1.0)


@given(rate=rates, share=shares, fleet=st.booleans())
@examples(50)
def test_a_baseline_survives_its_way_to_disk(rate: float, share: float, *, fleet: bool) -> None:
    found = before(lambda s: vitals(s, {"a": polled(s, rate, share)}, fleet_connected=fleet))
    assert Baseline.from_json(found.to_json()) == found


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(rates, shares), max_size=5))
@examples(40)
def test_nothing_that_goes_on_unchanged_is_ever_rolled_back(
    devices: dict[str, tuple[float, float]],
) -> None:
    def look(now_s: float) -> Vitals:
        return vitals(now_s, {name: polled(now_s, *how) for name, how in devices.items()})

    assert verdict(before(look), look)[0].kind == "good"


@given(st.floats(0.2, 50.0), st.floats(0.0, 0.8))
@examples(40)
def test_a_share_of_polls_well_below_the_one_before_is_always_seen(
    rate: float, share: float
) -> None:
    def slowed(now_s: float) -> Vitals:
        gone = polled(CHANGE_S, rate).polls + int((now_s - CHANGE_S) * rate * share)
        device = DeviceVitals(0.0, gone, rate, gone, now_s)
        return replace(whole(now_s), devices={"press": device})

    def then(now_s: float) -> Vitals:
        return replace(whole(now_s), devices={"press": polled(now_s, rate)})

    found, after_s = verdict(before(then), slowed)
    lost = rate * (LENGTH_S - 30.0) * (0.9 - share)
    assert found.kind == ("bad" if lost > 3.0 else found.kind)
    assert after_s <= LENGTH_S + 1.0
