"""Cycles that remain: by the shipped model, by trends; too short histories; restarts; new lives."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_plugin import BAD, GOOD, UNCERTAIN, PluginError
from forebay_plugin.testing import Frame, Ran, run, run_process
from forebay_wear import Wear, trend
from forebay_wear.features import features, filled, names, sensors_of
from forebay_wear.history import History

PLUGIN = Path(__file__).resolve().parents[1]
LIMITS = {"Vibration": {"limit": 7.0, "rising": True}}
TREND: dict[str, Any] = {"mode": "trend", "limits": LIMITS, "trend_cycles": 40, "most": 500}
START_NS = 1_700_000_000 * 10**9


def press(cycles: int = 200, seed: int = 5) -> dict[str, Any]:
    """Vibration from 2 on, up 0.02 a cycle from cycle 50 on: at 7 in cycle 300."""
    random = np.random.default_rng(seed)
    wear = np.maximum(np.arange(cycles) - 50, 0) * 0.02
    return {
        "press/Vibration": 2 + wear + random.normal(scale=0.05, size=cycles),
        "press/cycle": np.arange(1, cycles + 1),
    }


def ran(columns: dict[str, Any], state: Path | None = None, **more: Any) -> Ran:
    settings = TREND | more.pop("settings", {})
    inputs = {"values": ["press/V*"]}
    frame = Frame.sampled(columns, **more)
    return run(Wear, PLUGIN, [frame], settings=settings, inputs=inputs, state=state)


def good(found: Ran, output: str) -> np.ndarray[Any, Any]:
    """Values, and NaN where there is none."""
    samples = found[output]
    return np.where(samples.quality & BAD, np.nan, samples.values)


def engine(cycles: int) -> dict[str, Any]:
    """Sensors that all stand where the training's engines have their mean."""
    with np.load(PLUGIN / "model/constants.npz") as held:
        centre, spread = held["centre"], held["spread"]
    manifest = tomllib.loads((PLUGIN / "model/model.toml").read_text(encoding="utf-8"))
    sensors = sensors_of(manifest["inputs"]["x"]["names"])
    noise = np.random.default_rng(1).normal(scale=0.4, size=(cycles, len(sensors)))
    values = centre - 0.3 * spread + noise * spread
    columns = {f"engine/{name}": values[:, at] for at, name in enumerate(sensors)}
    return columns | {"engine/cycle": np.arange(1, cycles + 1)}


def test_a_trend_is_carried_on_to_its_limit() -> None:
    found = ran(press())
    truth = 300 - np.arange(200)
    remaining, low, high = (good(found, name) for name in ("remaining", "low", "high"))
    late = slice(120, None)
    assert np.abs(remaining[late] - truth[120:]).max() < 25
    assert ((low <= remaining) & (remaining <= high))[7:].all()
    inside = (low[late] <= truth[120:]) & (truth[120:] <= high[late])
    assert inside.mean() >= 0.7  # errors of one life's windows come together


def test_what_does_not_move_has_no_end() -> None:
    still = {"press/Vibration": np.full(60, 2.0), "press/cycle": np.arange(60)}
    assert set(good(ran(still), "remaining")[7:]) == {500.0}
    falling = {"press/Vibration": np.linspace(6, 2, 60), "press/cycle": np.arange(60)}
    assert set(good(ran(falling), "remaining")[7:]) == {500.0}
    beyond = {"press/Vibration": np.full(60, 7.5), "press/cycle": np.arange(60)}
    assert set(good(ran(beyond), "remaining")[7:]) == {0.0}


def test_service_becomes_due_once_and_ends_with_a_new_life() -> None:
    columns = press(290)
    columns = {tag: np.concatenate([values, values[:60]]) for tag, values in columns.items()}
    found = ran(columns)
    events = [json.loads(text) for text in found["service"].values]
    assert [event["active"] for event in events] == [True, False]
    assert "a new life begins" in events[1]["message"]
    due_at = (int(found["service"].times_ns[0]) - START_NS) // 10**9
    assert 255 <= due_at <= 290
    assert not found["due"].values[-30:].any()


def test_one_answer_that_says_so_is_not_enough() -> None:
    columns = press(120)
    columns["press/Vibration"][100] = 60.0
    assert not len(ran(columns, settings={"trend_cycles": 8, "hold": 10})["service"])


def test_rows_of_one_cycle_are_one() -> None:
    columns = {tag: np.repeat(values, 7) for tag, values in press(150).items()}
    one, seven = ran(press(150)), ran(columns)
    np.testing.assert_allclose(seven["remaining"].values[-1], one["remaining"].values[-1])


def test_rows_without_a_counter_are_a_cycle_each() -> None:
    columns = press(150)
    with_counter = ran(columns)
    del columns["press/cycle"]
    np.testing.assert_allclose(ran(columns)["remaining"].values, with_counter["remaining"].values)


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    columns = press(290)
    whole = ran(columns)
    for part, start in ((slice(0, 150), 0), (slice(100, None), 100)):  # 50 come again
        some = {tag: values[part] for tag, values in columns.items()}
        found = ran(some, tmp_path, start_ns=START_NS + start * 10**9)
    times = whole["remaining"].times_ns
    both = np.isin(times, found["remaining"].times_ns)
    np.testing.assert_allclose(found["remaining"].values, whole["remaining"].values[both])
    assert list(found["service"].values) == list(whole["service"].values)
    again = ran({t: v[100:] for t, v in columns.items()}, tmp_path, start_ns=START_NS + 100 * 10**9)
    assert list(again["service"].values) == list(whole["service"].values)


@pytest.mark.parametrize("content", [b"rubbish", b""])
def test_a_torn_history_is_let_go(tmp_path: Path, content: bytes) -> None:
    ran(press(50), tmp_path)
    (tmp_path / "history.npz").write_bytes(content)
    assert len(ran(press(50), tmp_path)["remaining"]) == 50


def test_the_model_is_silent_then_unsure_then_sure() -> None:
    found = run(Wear, PLUGIN, [Frame.sampled(engine(50))])
    quality = found["remaining"].quality
    assert (quality[:4] & BAD).all()
    assert (quality[4:29] == UNCERTAIN).all()
    assert (quality[29:] == GOOD).all()
    values = found["remaining"].values[4:]
    assert ((found["low"].values[4:] <= values) & (values <= found["high"].values[4:])).all()
    assert 0 < values[-1] <= 125


def test_a_sensor_that_is_missing() -> None:
    columns = engine(60)
    gone = np.zeros(60, np.uint32)
    gone[40:45] = BAD  # for a while: the value before it counts
    held = run(Wear, PLUGIN, [Frame.sampled(columns, quality={"engine/s4": gone})])
    assert not (held["remaining"].quality[29:] & BAD).any()
    gone[:] = BAD  # never there: there is no answer
    none = run(Wear, PLUGIN, [Frame.sampled(columns, quality={"engine/s4": gone})])
    assert (none["remaining"].quality & BAD).all()


def test_what_training_never_saw_is_uncertain() -> None:
    columns = engine(60)
    columns["engine/s11"] = columns["engine/s11"] + 50
    found = run(Wear, PLUGIN, [Frame.sampled(columns)])
    assert (found["remaining"].quality[30:] == UNCERTAIN).all()


def test_the_shipped_model_is_pinned() -> None:
    settings = tomllib.loads((PLUGIN / "plugin.toml").read_text(encoding="utf-8"))["settings"]
    content = (PLUGIN / "model/model.toml").read_bytes()
    assert settings["pinned_models"] == [hashlib.sha256(content).hexdigest()]
    assert max(path.stat().st_size for path in (PLUGIN / "model").iterdir()) <= 500 * 1024


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"limits": {}}, "limits must name"),
        ({"limits": {"Heat": {"limit": 1.0, "rising": True}}}, "0 tags"),
        ({"limits": {"Vibration": 7.0}}, "rising"),
        ({"least": 0}, "least"),
        ({"due": -1}, "due"),
        ({"due": 50, "due_off": 40}, "due_off"),
        ({"hold": True}, "hold"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(PluginError, match=word):
        ran(press(20), settings=settings)


def test_as_its_own_process() -> None:
    frame = Frame.sampled(engine(60))
    here, there = run(Wear, PLUGIN, [frame]), run_process(PLUGIN, [frame])
    np.testing.assert_allclose(there["remaining"].values, here["remaining"].values)
    assert there.facts["model"] == "wear-turbofan 1"


@given(st.integers(1, 40), st.integers(1, 5))
def test_features_do_not_look_behind_thirty_cycles(cycles: int, sensors: int) -> None:
    random = np.random.default_rng(cycles)
    some = random.normal(size=(cycles, sensors))
    made = features(some)
    assert len(made) == len(names(["s"] * sensors))
    older = np.vstack([random.normal(size=(7, sensors)), some])
    assert np.allclose(features(older), made) == (cycles >= 30)


def test_slopes_are_a_ten_cycles() -> None:
    made = features(np.arange(20.0)[:, None] * 0.3)
    np.testing.assert_allclose(made, [2.85, 5.1, 3.0, 0.3 * np.arange(20).std(), 20])


def test_gaps_are_filled_with_what_was_before() -> None:
    nan = np.nan
    given_rows = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]])
    expected = [[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 4.0]]
    assert filled(given_rows).tolist() == expected


@given(st.floats(0.1, 5), st.floats(-50, 50), st.booleans())
def test_a_line_without_noise_is_met(slope: float, level: float, rising: bool) -> None:  # noqa: FBT001 - drawn
    sign = 1 if rising else -1
    values = level + sign * slope * np.arange(20, dtype=np.float64)
    found = trend.life(values, level + sign * slope * 49, rising=rising, most=1000)
    assert found is not None
    assert found.value == pytest.approx(30, rel=1e-3)


def test_history_is_bounded(tmp_path: Path) -> None:
    history = History(tmp_path, ["a"], 10)
    for at in range(100):
        history.add(at, np.array([float(at)]), np.nan)
    assert history.until(99)[:, 0].tolist() == list(range(90, 100))
    assert not history.add(50, np.array([0.0]), np.nan)
    history.save()
    assert History(tmp_path, ["a"], 10).until(99).tolist() == history.until(99).tolist()
    assert not len(History(tmp_path, ["b"], 10).until(99))
