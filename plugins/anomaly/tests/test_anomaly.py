"""The plugin says nothing while it learns, then how far all tags together are from normal."""

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

from forebay_anomaly import Anomaly
from forebay_anomaly.normal import Recipe, learn, window_means
from forebay_plugin import BAD, GOOD, UNCERTAIN, PluginError
from forebay_plugin.testing import Frame, Ran, run, run_process

PLUGIN = Path(__file__).resolve().parents[1]
SHUTTLE: dict[str, Any] = {
    "model": PLUGIN / "models/shuttle",
    "window": {"rows": 1, "stride": 1},
}
LEARN = 200
TAGS = ("Flow", "Pressure", "Current")


def line(rows: int = 400, tags: tuple[str, ...] = TAGS, seed: int = 3) -> dict[str, Any]:
    """Tags that move together: what one of them does, the others show."""
    random = np.random.default_rng(seed)
    load = random.normal(size=(rows, 1))
    values = (
        50 + load * np.linspace(1, 2, len(tags)) + random.normal(scale=0.3, size=(rows, len(tags)))
    )
    return {f"pump/{tag}": values[:, index] for index, tag in enumerate(tags)}


def ran(columns: dict[str, Any], state: Path | None = None, **settings: Any) -> Ran:
    chosen = {"learn": LEARN} | settings
    return run(
        Anomaly,
        PLUGIN,
        [Frame.sampled(columns)],
        settings=chosen,
        inputs={"values": ["pump/*"]},
        state=state,
    )


def test_what_no_tag_shows_alone_is_found_and_named() -> None:
    columns = line()
    columns["pump/Flow"][300:] -= 1.5  # well inside its own range; but the others do not follow
    found = ran(columns)
    first = int(found["alarm"].times_ns[np.argmax(found["alarm"].values)])
    assert 0 <= first // 10**9 - 1_700_000_000 - 300 <= 15
    assert not found["alarm"].values[: 300 - LEARN - 1].any()
    (text,) = found["finding"].values
    event = json.loads(text)
    assert event["active"] is True
    assert event["message"].startswith("anomaly begins")
    assert event["message"].split(": ")[1].startswith("pump/Flow ")


def test_nothing_is_said_while_it_learns() -> None:
    found = ran(line(LEARN))
    assert len(found["score"].values) == 0
    assert found.facts["state"] == f"learning what is normal from {LEARN} rows"


def test_the_alarm_ends_under_the_lower_limit_and_is_told_once() -> None:
    columns = line(700)
    columns["pump/Flow"][300:400] -= 4
    found = ran(columns)
    texts = [json.loads(text)["message"] for text in found["finding"].values]
    assert [text.split(",")[0] for text in texts] == ["anomaly begins", "anomaly ends"]
    assert not found["alarm"].values[-200:].any()


def test_windows_at_once_and_one_by_one_give_the_same(tmp_path: Path) -> None:
    columns = line()
    columns["pump/Current"][300:340] += 5
    manifest = (PLUGIN / "plugin.toml").read_text(encoding="utf-8")
    for batch in ("1", "64"):
        (tmp_path / batch).mkdir()
        (tmp_path / batch / "model").symlink_to(PLUGIN / "model")
        text = manifest.replace("batch = 64", f"batch = {batch}")
        (tmp_path / batch / "plugin.toml").write_text(text, encoding="utf-8")
    single, many = (
        run(
            Anomaly,
            tmp_path / batch,
            [Frame.sampled(columns)],
            settings={"learn": LEARN},
            inputs={"values": ["pump/*"]},
        )
        for batch in ("1", "64")
    )
    np.testing.assert_allclose(single["score"].values, many["score"].values)
    assert list(single["finding"].values) == list(many["finding"].values)


def test_what_was_learnt_outlives_the_process(tmp_path: Path) -> None:
    ran(line(), tmp_path)
    again = ran(line(50, seed=4), tmp_path)
    assert again.facts["state"] == "scoring"
    assert len(again["score"].values) == 50 - 15 + 1
    assert not again["alarm"].values.any()


@pytest.mark.parametrize("change", ["tags", "learn", "torn", "rubbish"])
def test_what_was_learnt_of_something_else_is_learnt_anew(tmp_path: Path, change: str) -> None:
    ran(line(), tmp_path)
    kept = tmp_path / "normal.npz"
    columns, settings = line(50), {}
    if change == "tags":
        columns = line(50, (*TAGS, "Voltage"))
    elif change == "learn":
        settings = {"learn": LEARN + 1}
    elif change == "torn":
        kept.write_bytes(kept.read_bytes()[:-30])
    else:
        kept.write_bytes(b"rubbish")
    assert ran(columns, tmp_path, **settings).facts["state"].startswith("learning")


def test_a_missing_value_is_no_anomaly() -> None:
    columns = line()
    quality = np.zeros(400, np.uint32)
    quality[[20, 350]] = BAD
    found = run(
        Anomaly,
        PLUGIN,
        [Frame.sampled(columns, quality={"pump/Flow": quality})],
        settings={"learn": LEARN},
        inputs={"values": ["pump/*"]},
    )
    at = (found["score"].times_ns // 10**9 - 1_700_000_000).astype(int)
    bad = at[(found["score"].quality & BAD) != 0]
    assert bad.tolist() == list(range(350, 350 + 15))
    assert not found["alarm"].values.any()


def test_a_tag_that_stands_still_breaks_nothing() -> None:
    columns = line()
    columns["pump/Fixed"] = np.full(400, 7.0)
    assert not ran(columns)["alarm"].values.any()
    columns["pump/Fixed"] = np.where(np.arange(400) < 300, 7.0, 9.0)
    assert ran(columns)["alarm"].values[-80:].all()


def test_drift_and_state_are_told() -> None:
    columns = line(1000)
    for values in columns.values():
        values[500:] += 1.5
    found = ran(columns)
    assert found["drift"].values[0] < 0.25 < found["drift"].values[-1]
    state = json.loads(found["state"].values[-1])
    assert state["counts"]["rows"] == 800
    assert set(state["psi"]) == {f"pump/{tag}" for tag in TAGS}


def test_the_shipped_models_are_those_that_are_pinned() -> None:
    settings = tomllib.loads((PLUGIN / "plugin.toml").read_text(encoding="utf-8"))["settings"]
    shipped = [PLUGIN / "model", PLUGIN / "models/shuttle"]
    pins = [hashlib.sha256((one / "model.toml").read_bytes()).hexdigest() for one in shipped]
    assert settings["pinned_models"] == pins
    sizes = [path.stat().st_size for one in shipped for path in one.iterdir()]
    assert max(sizes) <= 500 * 1024


def test_a_trained_model_takes_its_columns_by_name() -> None:
    middle = {
        f"s/f{n}": np.full(5, value) for n, value in enumerate((45, 0, 80, 0, 30, 0, 35, 50, 14), 1)
    }
    wanted: dict[str, Any] = {"settings": {"learn": 0}, "inputs": {"values": ["s/*"]}} | SHUTTLE
    usual = run(Anomaly, PLUGIN, [Frame.sampled(middle)], **wanted)
    mixed = dict(reversed(list(middle.items())))
    other = run(Anomaly, PLUGIN, [Frame.sampled(mixed)], **wanted)
    assert usual["score"].values.tolist() == other["score"].values.tolist()
    assert usual["score"].quality.tolist() == [GOOD] * 5
    assert not usual["alarm"].values.any()
    wild = {tag: values + 900.0 for tag, values in middle.items()}
    found = run(Anomaly, PLUGIN, [Frame.sampled(wild)], **wanted)
    assert found["alarm"].values.all()
    assert found["score"].quality.tolist() == [UNCERTAIN] * 5
    with pytest.raises(PluginError, match="wants the column f1"):
        run(
            Anomaly,
            PLUGIN,
            [Frame.sampled(line())],
            **(wanted | {"inputs": {"values": ["pump/*"]}}),
        )
    with pytest.raises(PluginError, match="set `learn = 0`"):
        run(Anomaly, PLUGIN, [Frame.sampled(middle)], **(wanted | {"settings": {}}))


@pytest.mark.parametrize(
    "settings", [{"learn": -1}, {"off": "low"}, {"report": 0}, {"learn": True}]
)
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=r"settings\."):
        ran(line(50), **settings)


def test_as_its_own_process() -> None:
    columns = line()
    columns["pump/Flow"][300:] -= 3
    here = ran(columns)
    there = run_process(
        PLUGIN,
        [Frame.sampled(columns)],
        settings={"learn": LEARN},
        inputs={"values": ["pump/*"]},
    )
    np.testing.assert_allclose(there["score"].values, here["score"].values)
    assert there["alarm"].values[-1]
    assert there.facts["model"] == "anomaly-detector 1"
    assert there.facts["trust"] == "pinned by the plugin's settings"


@given(st.integers(1, 6), st.integers(2, 20), st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_scores_do_not_depend_on_units(tags: int, rows: int, scale: float, level: float) -> None:
    random = np.random.default_rng(tags * 100 + rows)
    plain = random.normal(size=(200, tags)) + 1
    recipe = Recipe(shrink=0.1, factor=6)
    for values in (plain, plain * scale + level * scale):
        normal = learn(values, rows, recipe)
        apart = window_means(values, rows) - normal.centre
        scores = np.einsum("ij,jk,ik->i", apart, normal.precision, apart)
        assert scores.max() <= 1 / 6 + 1e-6  # the limit is six times the largest that is normal
        assert scores.min() >= 0


def test_too_few_rows_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no two windows"):
        learn(np.zeros((5, 2)), 5, Recipe(0.1, 6))
