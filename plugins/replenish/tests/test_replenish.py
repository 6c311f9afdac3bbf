"""Forecasts, and one call for each need: refills, bad data, answers, restarts, any cut."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay_plugin import BAD, Kind, Output, PluginError, Type, wire
from forebay_plugin import frames as framing
from forebay_plugin.manifest import Declared, Manifest, load
from forebay_plugin.testing import Frame, Ran, run, run_process, setup_message
from forebay_replenish.forecast import forecast
from forebay_replenish.plugin import Replenish
from forebay_replenish.simulated import level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin import Setup

DIRECTORY = Path(__file__).resolve().parents[1]
NS = 1_000_000_000
START_NS = 1_700_000_010 * NS
"""A multiple of the samples' 15 s."""
PLAN: dict[str, Any] = {
    "refill": 20.0,
    "lead": "4 min",
    "safety": "1 min",
    "memory": "10 min",
    "accepted": "transport/Accepted",
    "arrived": "transport/Arrived",
    "cancelled": "transport/Cancelled",
}
FALL = np.arange(0, 1900.0)
"""A level that starts with 200 and loses a tenth a second is empty after 2,000 s."""


def manifest(kind: Type | None = None) -> Manifest:
    held = load(DIRECTORY)
    more = [Declared(Output("call", Kind.WRITE, kind))] if kind else []
    return replace(held, outputs=[*held.outputs, *more])


def frames(
    levels: Any, quality: Any = None, bad: slice | None = None, **answers: slice
) -> list[Frame]:
    """A row a second; an answer is true within its slice."""
    rows = len(levels)
    codes = np.zeros(rows, np.uint32)
    if bad is not None:
        codes[bad] = BAD
    columns = {name: np.zeros(rows, bool) for name in ("Accepted", "Arrived", "Cancelled")}
    for name, at in answers.items():
        columns[name.capitalize()][at] = True
    times = START_NS + np.arange(rows) * NS
    return [
        Frame(times, {"bin/Level": np.asarray(levels, np.float64)}, {"bin/Level": codes}),
        Frame(times + NS // 4, {f"transport/{name}": one for name, one in columns.items()}),
    ]


def looked(data: list[Frame], *, kind: Type | None = None, **over: Any) -> Ran:
    ran = run(Replenish, manifest(kind), data, settings={**PLAN, **over}, window={"every": "5 s"})
    assert not ran.failures
    assert not ran.refused
    return ran


def told(ran: Ran) -> list[tuple[int, str]]:
    """Second and kind of each event."""
    events = [json.loads(text) for text in ran["news"].values]
    seconds = [int((at - START_NS) // NS) for at in ran["news"].times_ns]
    return list(zip(seconds, [event["condition"] for event in events], strict=True))


def written(ran: Ran) -> list[Any]:
    return [value.item() for value in ran["call"].values]


def test_the_forecast_of_a_straight_line_is_exact() -> None:
    points = [(START_NS + n * 15 * NS, 200.0 - n * 1.5) for n in range(20)]
    found = forecast(points, 10.0)
    assert found is not None
    assert found.rate == pytest.approx(0.1)
    assert found.empty_s == pytest.approx((200 - 19 * 1.5 - 10) / 0.1)
    assert found.soonest_s == pytest.approx(found.latest_s)


def test_a_third_of_wild_points_does_not_move_it() -> None:
    random = np.random.default_rng(1)
    points = [
        (START_NS + n * 15 * NS, 200.0 - n * 1.5 + (random.uniform(-80, 80) if n % 4 == 1 else 0))
        for n in range(40)
    ]
    found = forecast(points, 0.0)
    assert found is not None
    assert found.rate == pytest.approx(0.1, rel=0.1)


def test_few_points_and_no_consumption_are_no_forecast_of_an_end() -> None:
    assert forecast([(START_NS + n * NS, 5.0) for n in range(7)], 0.0) is None
    found = forecast([(START_NS + n * NS, 5.0) for n in range(20)], 0.0)
    assert found is not None
    assert found.empty_s == float("inf")
    empty = forecast([(START_NS + n * NS, 0.0) for n in range(20)], 0.0)
    assert empty is not None
    assert empty.empty_s == 0


def test_it_is_called_once_and_in_time() -> None:
    ran = looked(frames(200 - FALL / 10), kind=Type.BOOL, answer=0)
    ((second, kind),) = told(ran)
    assert kind == "call"
    assert 2000 - second == pytest.approx(300, abs=40)
    assert written(ran) == [True]


def test_the_whole_life_of_a_call() -> None:
    levels = np.concatenate([60 - np.arange(500) / 10, np.full(300, 200.0)])
    data = frames(levels, accepted=slice(350, 360), arrived=slice(450, 460))
    ran = looked(data, kind=Type.BOOL)
    kinds = told(ran)
    assert [kind for _, kind in kinds] == ["call", "accepted", "arrived", "refill"]
    assert written(ran) == [True, False]
    assert ran["state"].values[-1] == "quiet"
    assert max(ran["number"].values) == 1
    again = looked(data, kind=Type.INT32)
    assert written(again) == [1]


def test_nobody_answers_and_it_is_called_again_but_not_for_ever() -> None:
    levels = np.maximum(60 - np.arange(1500) / 10, 0.0)
    ran = looked(frames(levels), kind=Type.INT32, answer="2 min")
    kinds = told(ran)
    assert [kind for _, kind in kinds] == ["call", "again", "again"]
    assert np.diff([second for second, _ in kinds]).tolist() == [120, 120]
    assert "the last call" in json.loads(ran["news"].values[-1])["message"]
    assert written(ran) == [1, 2, 3]


def test_one_that_was_accepted_and_does_not_arrive_is_called_again() -> None:
    levels = np.maximum(60 - np.arange(1500) / 10, 0.0)
    data = frames(levels, accepted=slice(400, 410))
    kinds = told(looked(data, arrival="5 min", answer="5 min"))
    assert [kind for _, kind in kinds][:3] == ["call", "accepted", "again"]


def test_a_cancelled_call_is_not_made_again_at_once() -> None:
    levels = np.maximum(60 - np.arange(1200) / 10, 0.0)
    kinds = told(looked(frames(levels, cancelled=slice(400, 410)), arrival="5 min"))
    assert [kind for _, kind in kinds][:4] == ["call", "cancelled", "lost", "call"]


def test_an_answer_that_was_there_before_is_none() -> None:
    levels = 60 - np.arange(500) / 10
    kinds = {kind for _, kind in told(looked(frames(levels, accepted=slice(0, 500))))}
    assert kinds == {"call", "again"}


def test_no_call_on_bad_data() -> None:
    levels = 60 - np.arange(590) / 10
    ran = looked(frames(levels, bad=slice(150, None)), answer="1 min")
    assert [kind for _, kind in told(ran)] == ["blind"]
    zero = np.where(np.arange(590) > 150, 0.0, 200.0)  # a cable that broke reads 0, and bad
    assert "call" not in [kind for _, kind in told(looked(frames(zero, bad=slice(151, None))))]
    assert len(looked(frames(np.full(300, np.nan)))["rate"]) == 0


def test_a_spike_is_neither_a_refill_nor_a_need() -> None:
    random = np.random.default_rng(2)
    levels = level(random, 1500, full=500, per_s=0.1, noise=0.3, spikes=0.05)
    assert told(looked(frames(levels))) == []


def test_a_slow_refill_is_one() -> None:
    levels = np.concatenate(
        [200 - np.arange(300) / 10, 170 + np.arange(60) / 2, 200 - np.arange(300) / 10]
    )
    ran = looked(frames(levels))
    assert [kind for _, kind in told(ran)] == ["refill"]
    assert ran["rate"].values[-1] == pytest.approx(360, rel=0.05)


def test_a_least_level_calls_without_a_rate() -> None:
    ran = looked(frames(np.full(100, 30.0)), least=40)
    assert [kind for _, kind in told(ran)] == ["call"]


# --- however it is cut ----------------------------------------------------------------------------


def begun(data: list[Frame], state: Path) -> tuple[Replenish, Setup]:
    chosen = manifest(Type.INT32).with_(PLAN | {"answer": "40 s", "arrival": "90 s"}, None, None)
    columns = framing.columns_of(chosen, data)
    setup = wire.to_setup(setup_message(chosen, columns, state, None))
    plugin = Replenish()
    plugin.setup(setup)
    return plugin, setup


def asked(
    plugin: Replenish, setup: Setup, data: list[Frame], bounds: Sequence[tuple[int, int]]
) -> list[tuple[str, int, Any]]:
    """Give `plugin` the windows [begin, end), one work each; what it tells, in order."""
    columns, found = framing.columns_of(manifest(), data), []
    for number, (begin, end) in enumerate(bounds):
        ranges = []
        for frame in data:
            first, behind = np.searchsorted(frame.times_ns, [begin, end])
            ranges.append((int(first), int(behind - first)))
        work = framing.work(number + 1, number, [(begin, end, ranges)], data, columns)
        (results,) = plugin.process_many(wire.to_windows(work, setup.inputs))
        for result in results:
            if result.output in ("news", "empty_in", "soonest"):
                assert result.values is not None
                assert result.times_ns is not None
                assert not isinstance(result.times_ns, int)
                found += [
                    (result.output, int(at), value)
                    for at, value in zip(result.times_ns, result.values, strict=True)
                ]
    return sorted(found, key=lambda one: one[:2])


def bounds_of(data: list[Frame], cuts: Sequence[int]) -> list[tuple[int, int]]:
    first, last = int(data[0].times_ns[0]), int(data[1].times_ns[-1]) + 5 * NS
    inner = {first + cut * NS // 2 for cut in cuts if 0 < cut * NS // 2 < last - first}
    return list(pairwise([first, *sorted(inner), last]))


PIECE = st.tuples(
    st.integers(20, 120),
    st.sampled_from([-0.3, -0.1, -0.1, 0.0, 0.5]),
    st.sampled_from([0, 0, 0, 60]),
    st.sampled_from(["", "", "", "bad", "Accepted", "Arrived", "Cancelled"]),
)


def made(pieces: list[Any]) -> list[Frame]:
    """A level of pieces with a slope, a jump, and what happens meanwhile."""
    levels, happens, now = [], [], 60.0
    for rows, slope, jump, what in pieces:
        now += jump
        for _ in range(rows):
            now = max(now + slope, 0.0)
            levels.append(now)
            happens.append(what)
    data = frames(np.round(np.array(levels), 3))
    codes = np.where(np.array(happens) == "bad", BAD, 0).astype(np.uint32)
    answers = {
        f"transport/{n}": np.array(happens) == n for n in ("Accepted", "Arrived", "Cancelled")
    }
    return [
        Frame(data[0].times_ns, data[0].columns, {"bin/Level": codes}),
        Frame(data[1].times_ns, answers),
    ]


PIECES = st.lists(PIECE, min_size=2, max_size=8)
CUTS = st.lists(st.integers(0, 1600), max_size=20)


@settings(deadline=None)
@given(PIECES, CUTS, st.data())
def test_however_it_is_cut_and_restarted_it_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[Any],
    cuts: list[int],
    data: st.DataObject,
) -> None:
    made_of = made(pieces)
    whole = asked(
        *begun(made_of, tmp_path_factory.mktemp("whole")), made_of, bounds_of(made_of, [])
    )
    bounds = bounds_of(made_of, cuts)
    state = tmp_path_factory.mktemp("state")
    killed = data.draw(st.integers(0, len(bounds)))
    back = data.draw(st.integers(0, killed))
    first = asked(*begun(made_of, state), made_of, bounds[:killed])  # and no close()
    second = asked(*begun(made_of, state), made_of, bounds[killed - back :])
    once = {(*one[:2], repr(one[2])): one for one in [*first, *second]}
    assert sorted(once.values(), key=lambda one: one[:2]) == whole


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"refill": 0}, "refill must be over 0"),
        ({"surprise": 1}, "settings.surprise is unknown"),
        ({"lead": "soon"}, "is no duration"),
        ({"memory": "20 s"}, "memory must hold"),
        ({"accepted": "transport/Nothing"}, "add it to inputs.answers"),
        ({"calls": 0}, "settings.calls"),
        ({"least": "low"}, "settings.least"),
    ],
)
def test_wrong_settings_are_told(over: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        looked(frames(np.full(10, 1.0)), **over)


def test_the_example_of_the_readme_in_the_real_process() -> None:
    text = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    example = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])
    plan = example["plugins"]["screws"]["settings"]
    levels = np.maximum(100 - np.arange(900) / 10, 0.0)
    ran = run_process(manifest(Type.BOOL), frames(levels), settings=plan)
    assert told(ran)[0][1] == "call"
    assert True in written(ran)
