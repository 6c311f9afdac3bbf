"""A sound machine keeps near its model; one that drifts is told, and once."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_plugin import BAD, UNCERTAIN, PluginError
from forebay_plugin.testing import Frame, Ran, run, run_process
from forebay_twin import Twin, simulated
from forebay_twin.drift import Rule, Sums
from forebay_twin.models import Fitted, How, PumpPower, Tank, fit

PLUGIN = Path(__file__).resolve().parents[1]
CURVE: dict[str, Any] = {
    "kind": "pump-head",
    "head_zero": simulated.HEAD_ZERO,
    "bend": simulated.BEND,
    "speed": simulated.SPEED,
    "learn": 300,
}
START_NS = 1_700_000_000 * 10**9


def ran(columns: dict[str, Any], state: Path | None = None, **more: Any) -> Ran:
    target, *given = columns
    inputs = {"target": [target], "given": given}
    model, settings = more.pop("model", None), more.pop("settings", {})
    frame = Frame.sampled(columns, **more)
    return run(
        Twin,
        PLUGIN,
        [frame],
        settings=CURVE | settings,
        inputs=inputs,
        state=state,
        model=model,
    )


def test_a_pump_that_wears_drifts_and_is_told_once() -> None:
    found = ran(simulated.pump(1500, 3, wear=0.05, begin=900))
    (text,) = found["finding"].values
    event = json.loads(text)
    assert event["active"] is True
    assert "pump/Head drifts: under its model" in event["message"]
    at = (int(found["finding"].times_ns[0]) - START_NS) // 10**9
    assert 900 <= at < 920
    assert found["drift"].values[-1]
    assert abs(float(found["normalised"].values[:500].std()) - 1) < 0.2


def test_a_sound_pump_is_left_alone_at_any_speed() -> None:
    found = ran(simulated.pump(3000, 4))
    assert not len(found["finding"])
    assert len(found["predicted"]) == 2700
    head = simulated.pump(3000, 4)["pump/Head"][300:]
    assert float(np.abs(found["predicted"].values - head).max()) < 2


def test_a_leak_is_told_though_the_level_may_rise() -> None:
    settings = {"kind": "tank", "area": simulated.AREA, "horizon": 60}
    leak = simulated.tank(2500, 1, leak=2.0, begin=1200)
    found = ran(leak, settings=settings, rate_hz=0.1)
    (text,) = found["finding"].values
    assert "under its model" in json.loads(text)["message"]
    assert not len(ran(simulated.tank(2500, 1), settings=settings, rate_hz=0.1)["finding"])


def line(rows: int = 1200, seed: int = 2) -> dict[str, Any]:
    """A target that follows its two inputs, one of them two rows late."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows)).cumsum(axis=1) * 0.1, random.normal(size=(2, rows))
    first, second = a[0] + b[0] * 0.1, b[1]
    target = 5 + 3 * first - 2 * np.roll(second, 2) + random.normal(scale=0.1, size=rows)
    return {"m/Out": target[2:], "m/A": first[2:], "m/B": second[2:]}


def test_lags_are_found_by_the_fit() -> None:
    columns = line()
    inputs = np.column_stack([columns["m/A"], columns["m/B"]])
    fitted = fit(inputs, columns["m/Out"], How(4, 1e-6, squares=False))
    np.testing.assert_allclose(fitted.weights.sum(axis=0), [3, -2], atol=0.05)
    assert abs(fitted.weights[2, 1] + 2) < 0.02
    with pytest.raises(ValueError, match="too few"):
        fit(inputs[:10], columns["m/Out"][:10], How(4, 1e-6, squares=False))


def test_what_was_never_seen_is_uncertain_and_no_drift() -> None:
    columns = line(900)
    columns["m/A"][700:] += 50
    found = ran(columns, settings={"kind": "fitted"})
    quality = found["residual"].quality
    assert (quality[-100:] == UNCERTAIN).all()
    assert not len(found["finding"])


def test_a_missing_reading_gives_none_and_no_drift() -> None:
    columns = simulated.pump(800, 3)
    gone = np.zeros(800, np.uint32)
    gone[500:520] = BAD
    found = ran(columns, quality={"pump/Flow": gone})
    bad = np.flatnonzero(found["predicted"].quality & BAD)
    assert bad.tolist() == list(range(200, 220))
    assert not len(found["finding"])


def test_a_restart_and_windows_that_come_again(tmp_path: Path) -> None:
    columns = simulated.pump(1500, 3, wear=0.05, begin=900)
    whole = ran(columns)
    ran({tag: values[:1000] for tag, values in columns.items()}, tmp_path)
    rest = {tag: values[800:] for tag, values in columns.items()}
    again = ran(rest, tmp_path, start_ns=START_NS + 800 * 10**9)
    assert list(again["finding"].values) == list(whole["finding"].values)
    np.testing.assert_allclose(again["cusum"].values, whole["cusum"].values[500:], rtol=1e-9)


@pytest.mark.parametrize("change", ["tags", "torn", "weights"])
def test_what_was_learnt_of_something_else_is_learnt_anew(tmp_path: Path, change: str) -> None:
    columns = simulated.pump(400, 3)
    ran(columns, tmp_path)
    path = tmp_path / "twin.json"
    settings: dict[str, Any] = {}
    if change == "tags":
        columns = {tag.replace("pump", "other"): values for tag, values in columns.items()}
    elif change == "torn":
        path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    else:
        settings = {"kind": "fitted"}
    start_ns = START_NS + 400 * 10**9
    found = ran(columns, tmp_path, settings=settings, start_ns=start_ns)
    assert found.facts["state"].startswith("learning")


def test_training_from_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = line()
    rows = ["time;Out;A;B"]
    rows += [
        f"2024-05-01T10:{at // 60 % 60:02}:{at % 60:02};{';'.join(map(str, row))}"
        for at, row in enumerate(zip(*columns.values(), strict=True))
    ]
    table = tmp_path / "history.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    out = tmp_path / "model"
    arguments = ["--data", table, "--target", "Out", "--given", "A,B", "--out", out]
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    runpy.run_path(str(PLUGIN / "train.py"), run_name="__main__")
    assert float(capsys.readouterr().out.split("there: ")[1].split("%")[0]) > 90
    found = ran(columns, model=out, settings={"kind": "fitted", "learn": 0})
    assert found.facts["state"] == "predicting"
    assert len(found["predicted"]) == 1190
    with pytest.raises(PluginError, match="is of"):
        ran(simulated.pump(50, 1), model=out, settings={"kind": "fitted", "learn": 0})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"kind": "magic"}, "kind"),
        ({"kind": "pump-power"}, "area|efficiency|takes|bend"),
        ({"learn": 5}, "learn"),
        ({"learn": 0}, "model"),
        ({"slack": True}, "slack"),
        ({"speed": 0}, "speed"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], word: str) -> None:
    columns = simulated.pump(50, 1)
    if settings.get("kind") == "pump-power":
        del columns["pump/Speed"]
    with pytest.raises(PluginError, match=word):
        ran(columns, settings=settings)


def test_as_its_own_process() -> None:
    columns = simulated.pump(600, 3, wear=0.05, begin=450)
    target, *given = columns
    there = run_process(
        PLUGIN,
        [Frame.sampled(columns)],
        settings=CURVE,
        inputs={"target": [target], "given": given},
    )
    here = ran(columns)
    np.testing.assert_allclose(there["residual"].values, here["residual"].values)
    assert list(there["finding"].values) == list(here["finding"].values)


def test_formulas_by_hand() -> None:
    flow, head = np.array([[36.0, 10.0]]), np.zeros(1)
    power = PumpPower(1000.0, 0.5)(flow, head, head)
    assert power[0] == pytest.approx(1000 * 9.80665 * 0.01 * 10 / 0.5 / 1000)
    level = Tank(2.0, 2)(np.full((3, 1), 3.6), np.array([1.0, 9, 9]), np.array([0.0, 500, 1000]))
    assert level.tolist() == [1.5]
    one = Fitted(1.0, np.array([[2.0, 0.5]]))  # the square has a weight of its own
    assert one(np.array([[3.0]]), head, head).tolist() == [1 + 6 + 4.5]


def test_one_row_makes_no_alarm_and_an_alarm_ends() -> None:
    rule = Rule(slack=0.5, limit=10, clip=5)
    state = Sums()
    sums, turns = state.take(np.array([1000.0, np.nan, 0, 0]), rule)
    assert not turns
    np.testing.assert_allclose(sums, [0.45, 0.45, 0.4, 0.35])
    _, turns = state.take(np.concatenate([np.full(10, 3.0), np.zeros(40)]), rule)
    assert [begins for _, begins in turns] == [True, False]
