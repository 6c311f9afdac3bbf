"""Energy a unit is right; advice is given where less is known to do; nothing is written."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_advisor import Advisor, simulated
from forebay_advisor.history import History
from forebay_advisor.points import ALIKE_MAX, Points, Rule, advise
from forebay_plugin import BAD, PluginError
from forebay_plugin.testing import Frame, Ran, run, run_process

PLUGIN = Path(__file__).resolve().parents[1]
START_NS = 1_700_000_000 * 10**9
RULE = Rule(alike=0.5, near=0.25, support=8, least=0.01)


def ran(columns: dict[str, Any], state: Path | None = None, **more: Any) -> Ran:
    settings = more.pop("settings", {})
    frame = Frame.sampled(columns, rate_hz=1 / 60, **more)
    return run(Advisor, PLUGIN, [frame], settings=settings, state=state)


def test_it_can_write_nothing() -> None:
    manifest = tomllib.loads((PLUGIN / "plugin.toml").read_text(encoding="utf-8"))
    assert {output["kind"] for output in manifest["outputs"].values()} == {"tag", "event"}


def steady(power: Any, product: Any) -> dict[str, Any]:
    rows = len(power)
    return {
        "plant/Power": np.asarray(power, float),
        "plant/Product": np.asarray(product, float),
        "plant/Setpoint": np.full(rows, 5.0),
    }


def test_energy_a_unit_of_rates_and_of_counters() -> None:
    rates = ran(steady(np.full(60, 30.0), np.full(60, 120.0)))
    assert rates["specific"].values.tolist() == [pytest.approx(0.25)]
    hours = np.arange(60) / 60
    counters = {"energy": "counter", "product": "counter"}
    counted = ran(steady(1000 + 30 * hours, 7 + 120 * hours), settings=counters)
    assert counted["specific"].values.tolist() == [pytest.approx(0.25)]


def test_no_energy_a_unit_where_nothing_is_known_or_made() -> None:
    counters = {"energy": "counter", "product": "counter"}
    back = np.concatenate([np.arange(30.0), np.arange(30.0)])
    assert not len(ran(steady(back, np.arange(60.0)), settings=counters)["specific"])
    assert not len(ran(steady(np.full(60, 30.0), np.zeros(60)))["specific"])
    none = {"plant/Power": np.full(60, BAD, np.uint32)}
    assert not len(ran(steady(np.ones(60), np.ones(60)), quality=none)["specific"])


def test_advice_names_a_point_that_truly_takes_less() -> None:
    columns = simulated.plant(500, 4)
    found = ran(columns)
    assert len(found["specific"]) == 500
    assert len(found["advice"]) > 20
    true = []
    for at, text in zip(found["advice"].times_ns, found["advice"].values, strict=True):
        row = int((at - START_NS) // 10**9 // 60)
        window = slice(row - simulated.ROWS + 1, row + 1)
        message = json.loads(text)["message"]
        assert "less than now" in message
        points = np.array(
            [float(message.split("Setpoint ")[1].split()[0]), columns["plant/Setpoint"][row]]
        )
        flow, warm = (columns[f"plant/{name}"][window].mean() for name in ("Product", "Condition"))
        best, now = simulated.true_specific(points, flow, warm)
        true.append(1 - best / now)
    assert np.mean(np.array(true) > 0) > 0.9
    least, most = found["saving_low"].values, found["saving_high"].values
    assert (least >= 1).all()
    assert (least < most).all()


def test_little_is_advised_where_the_set_point_changes_nothing() -> None:
    columns = simulated.plant(500, 4)
    level = 1 + np.random.default_rng(1).normal(scale=0.03, size=500)
    columns["plant/Power"] = 0.2 * columns["plant/Product"] * np.repeat(level, simulated.ROWS)
    assert len(ran(columns)["advice"]) < 15


def test_a_set_point_that_moves_makes_no_point() -> None:
    columns = simulated.plant(20, 1)
    columns["plant/Setpoint"] = np.linspace(4, 10, 20 * simulated.ROWS)
    found = ran(columns)
    assert len(found["specific"]) == 20
    assert not len(found["saving"])


def test_points_outlive_the_process_and_come_once(tmp_path: Path) -> None:
    columns = simulated.plant(60, 2)
    ran(columns, tmp_path)
    assert ran(columns, tmp_path).facts["points"] == "60"
    assert ran(columns, tmp_path, settings={"keep": 40}).facts["points"] == "40"
    (tmp_path / "points.npz").write_bytes(b"rubbish")
    assert ran(columns, tmp_path).facts["points"] == "0"


def test_history_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    history = History(tmp_path, ["a"], (1, 1), 5)
    for at in range(1, 9):
        history.add(at, float(at), np.zeros(1), np.zeros(1))
    assert sorted(history.until(8).specific.tolist()) == [4, 5, 6, 7, 8]
    assert sorted(history.until(6).specific.tolist()) == [4, 5, 6]
    history.save()
    again = History(tmp_path, ["a"], (1, 1), 5)
    assert again.until(8).specific.tolist() == [4, 5, 6, 7, 8]
    assert not len(History(tmp_path, ["b"], (1, 1), 5))


def points(count: int = 200) -> Points:
    """Set-point 1 takes 10, set-point 2 takes 8, whatever the conditions."""
    random = np.random.default_rng(3)
    knobs = 1 + np.arange(count, dtype=np.float64) // 2 % 2
    specific = np.where(knobs == 1, 10.0, 8.0) + random.normal(scale=0.2, size=count)
    return Points(specific, random.normal(size=(count, 2)), knobs[:, None])


def test_the_better_of_two_is_found_and_how_much_it_saves() -> None:
    found = advise(points(), np.zeros(2), np.array([1.0]), RULE)
    assert found is not None
    assert found.knobs.tolist() == [2.0]
    assert found.low < 0.2 < found.high
    assert found.saving == pytest.approx(0.2, abs=0.02)
    assert advise(points(), np.zeros(2), np.array([2.0]), RULE) is None


def test_no_advice_of_what_was_never_seen() -> None:
    assert advise(points(), np.full(2, 30.0), np.array([1.0]), RULE) is None
    assert advise(points(), np.zeros(2), np.array([7.0]), RULE) is None
    assert advise(points(4), np.zeros(2), np.array([1.0]), RULE) is None
    assert len(points(3000).alike(np.zeros(2), RULE).specific) <= ALIKE_MAX


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"energy": "much"}, "energy"), ({"keep": 0}, "keep"), ({"support": True}, "support")],
)
def test_settings_that_are_none(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(PluginError, match=word):
        ran(simulated.plant(2, 1), settings=settings)


def test_as_its_own_process() -> None:
    columns = simulated.plant(100, 4)
    there = run_process(PLUGIN, [Frame.sampled(columns, rate_hz=1 / 60)])
    here = ran(columns)
    np.testing.assert_allclose(there["specific"].values, here["specific"].values)
    assert list(there["advice"].values) == list(here["advice"].values)
