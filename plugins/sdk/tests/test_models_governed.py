"""A model in service: doubtful rows are said to be so, and another answers where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay_plugin import BAD, GOOD, UNCERTAIN, PluginError
from forebay_plugin.models import (
    GovernedModel,
    ModelError,
    ModelMalformed,
    ModelUnfit,
    Policy,
    Trust,
    load,
)
from forebay_plugin.models.drift import Drift, reference
from forebay_plugin.models.governed import STRIKES
from forebay_plugin.models.shadow import SLOW_RUNS_MAX
from forebay_plugin.models.store import activate, add, locate, propose, rollback
from support.onnx_models import made, only_four_rows, scaled_max

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

ANY = Trust(allow_unsigned=True)
ROWS = np.array([[1, 2, 3], [0, -1, 0.5]], np.float32)


class Ticking:
    """A monotonic clock of which every look takes `step_s`."""

    def __init__(self) -> None:
        self.now_s, self.step_s = 1000.0, 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def store_of(directory: Path, **weights: float) -> Path:
    store = directory / "store"
    for version, weight in weights.items():
        made(directory / version, version, weight)
        add(store, directory / version, ANY)
    return store


def test_rows_that_lack_a_value_are_bad_and_cost_no_other(tmp_path: Path) -> None:
    made(tmp_path)
    model = GovernedModel.open(tmp_path, Policy(trust=ANY))
    rows = np.array([[1, 2, 3], [1, np.nan, 3], [9, 0, 0]], np.float32)
    answer = model.run({"x": rows})
    assert answer.quality.tolist() == [GOOD, BAD, UNCERTAIN]
    np.testing.assert_allclose(answer.outputs["score"], [3, np.nan, 9])
    assert model.counts == {"rows": 3, "missing": 1, "outside": 1}
    nothing = model.run({"x": rows[1:2]})
    assert nothing.quality.tolist() == [BAD]
    assert nothing.by == "nothing"


def test_a_model_may_take_nan(tmp_path: Path) -> None:
    made(tmp_path, inputs={"x": {"nan": "pass"}})
    model = GovernedModel.open(tmp_path, Policy(trust=ANY))
    answer = model.run({"x": np.array([[np.nan, 1, 1]], np.float32)})
    assert answer.quality.tolist() == [GOOD]
    assert answer.by == "scaled-max 1"


@pytest.mark.parametrize("shape", [(2, 2), (3,), (2, 3, 1)])
def test_rows_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    made(tmp_path)
    model = GovernedModel.open(tmp_path, Policy(trust=ANY))
    with pytest.raises(ModelUnfit, match="has shape"):
        model.run({"x": np.zeros(shape, np.float32)})
    with pytest.raises(ModelUnfit, match="no value for the input x"):
        model.run({})


def test_a_slow_model_gives_way_to_the_previous_one_and_is_tried_again(tmp_path: Path) -> None:
    made(tmp_path / "new", "new", 1.0)
    made(tmp_path / "old", "old", 10.0)
    clock = Ticking()
    model = GovernedModel(
        load(tmp_path / "new", ANY),
        Policy(budget_s=0.01, retry_s=60),
        previous=load(tmp_path / "old", ANY),
        clock=clock,
    )
    clock.step_s = 0.02
    for _ in range(STRIKES):
        assert model.run({"x": ROWS}).by == "scaled-max new"
    stood_in = model.run({"x": ROWS})
    assert stood_in.by == "scaled-max old"
    assert stood_in.quality.tolist() == [UNCERTAIN, UNCERTAIN]
    np.testing.assert_allclose(stood_in.outputs["score"], [30, 10])
    clock.step_s, clock.now_s = 0.0, clock.now_s + 61
    assert model.run({"x": ROWS}).by == "scaled-max new"
    assert model.counts["slow"] == STRIKES
    assert model.counts["stood_in"] == 2


def test_a_constant_stands_in_where_no_model_can(tmp_path: Path) -> None:
    made(tmp_path)
    clock = Ticking()
    model = GovernedModel(
        load(tmp_path, ANY), Policy(budget_s=0.01, fallback={"score": 0.25}), clock=clock
    )
    clock.step_s = 0.02
    for _ in range(STRIKES):
        model.run({"x": ROWS})
    answer = model.run({"x": ROWS})
    assert answer.by == "constant"
    assert answer.outputs["score"].tolist() == [0.25, 0.25]


def test_a_slow_model_goes_on_where_nothing_can_stand_in(tmp_path: Path) -> None:
    made(tmp_path)
    clock = Ticking()
    model = GovernedModel(load(tmp_path, ANY), Policy(budget_s=0.01), clock=clock)
    clock.step_s = 0.02
    for _ in range(STRIKES + 2):
        assert model.run({"x": ROWS}).quality.tolist() == [GOOD, GOOD]
    assert model.counts["slow"] == STRIKES + 2


def test_a_run_that_fails_gives_no_value(tmp_path: Path) -> None:
    """A graph whose shapes fit no second row: the runtime refuses it, window for window."""
    made(tmp_path, onnx=only_four_rows())
    model = GovernedModel.open(tmp_path, Policy(trust=ANY))
    assert model.run({"x": np.ones((4, 3), np.float32)}).quality.tolist() == [GOOD] * 4
    answer = model.run({"x": ROWS})
    assert (answer.by, answer.quality.tolist()) == ("nothing", [BAD, BAD])
    assert np.isnan(answer.outputs["score"]).all()
    assert model.counts["failed"] == 1


def test_a_candidate_is_compared_and_reaches_no_output(tmp_path: Path) -> None:
    store = store_of(tmp_path, one=1.0, two=1.5)
    activate(store, "one")
    propose(store, "two")
    model = GovernedModel.open(store, Policy(trust=ANY))
    rows = np.array([[1, 0, 0], [1.5, 0, 0], [3, 0, 0], [4, 0, 0]], np.float32)
    np.testing.assert_allclose(model.run({"x": rows}).outputs["score"], [1, 1.5, 3, 4])
    figures = model.agreement()
    assert figures["rows"] == 4
    assert figures["mean_difference"] == pytest.approx(9.5 / 2 / 4)
    assert figures["largest_difference"] == pytest.approx(2)
    assert figures["same_verdict"] == 0.75  # 1.5 is under the limit of 2, 2.25 is over it
    assert figures["only_candidate_finds"] == 1
    assert model.facts()["candidate"] == "scaled-max two"


def test_a_slow_candidate_is_left_out(tmp_path: Path) -> None:
    made(tmp_path / "one", "one")
    made(tmp_path / "two", "two")
    policy = Policy(trust=ANY, budget_s=1e-12)
    both = [load(tmp_path / version, ANY) for version in ("one", "two")]
    model = GovernedModel(both[0], policy, candidate=both[1], clock=lambda: 0.0)
    for _ in range(SLOW_RUNS_MAX + 2):
        model.run({"x": ROWS})
    assert model.agreement()["slow_runs"] == SLOW_RUNS_MAX
    assert model.agreement()["rows"] == SLOW_RUNS_MAX * len(ROWS)


def test_a_candidate_that_takes_something_else_is_noted(tmp_path: Path) -> None:
    store = store_of(tmp_path, one=1.0)
    other: dict[str, Any] = {
        "onnx": scaled_max(columns=4),
        "selftest": {"x": np.zeros((1, 4), np.float32)},
    }
    made(tmp_path / "four", "four", inputs={}, drift={}, **other)
    add(store, tmp_path / "four", ANY)
    activate(store, "one")
    propose(store, "four")
    model = GovernedModel.open(store, Policy(trust=ANY))
    assert "takes or gives something else" in model.facts()["note 1"]
    assert model.agreement() == {}
    (store / "versions/four/model.onnx").write_bytes(b"")
    assert "is not the file" in GovernedModel.open(store, Policy(trust=ANY)).facts()["note 1"]


def test_drift_is_small_for_the_same_and_large_for_another_world() -> None:
    random = np.random.default_rng(5)
    then = random.normal(size=(4000, 2))
    drift = Drift(*reference(then), rows=1000)
    assert np.isnan(drift.psi()).all()
    for _ in range(20):
        drift.add(random.normal(loc=[0, 1], size=(100, 2)))
    same, moved = drift.psi()
    assert same < 0.1
    assert moved > 0.25
    for _ in range(20):
        drift.add(random.normal(size=(100, 2)))
    assert (drift.psi() < 0.1).all()  # what was long ago is forgotten


def test_psi_of_a_plain_case() -> None:
    """Two bins of equal shares, of which three quarters now fall into one."""
    drift = Drift(np.array([[0.0]]), np.array([[0.5, 0.5]]))
    drift.add(np.array([[-1.0], [-1.0], [-1.0], [1.0]]))
    assert drift.psi()[0] == pytest.approx(0.25 * np.log(1.5) + (-0.25) * np.log(0.5))


def test_psi_is_named_by_column(tmp_path: Path) -> None:
    made(tmp_path)
    model = GovernedModel.open(tmp_path, Policy(trust=ANY))
    model.run({"x": np.random.default_rng(2).normal(size=(500, 3)).astype(np.float32)})
    assert set(model.psi()) == {"a", "b", "c"}
    assert max(model.psi().values()) < 0.1


def test_the_way_back(tmp_path: Path) -> None:
    store = store_of(tmp_path, one=1.0, two=2.0, three=3.0)
    with pytest.raises(ModelMalformed, match="no active model"):
        locate(store)
    for version in ("one", "two", "three"):
        activate(store, version)
    activate(store, "three")  # again: nothing changes
    assert locate(store).previous == store / "versions/two"
    assert rollback(store) == "two"
    assert rollback(store) == "three"
    propose(store, "one")
    activate(store, "one")
    assert locate(store).candidate is None
    with pytest.raises(ModelMalformed, match="is the active one"):
        propose(store, "one")
    for name in ("../../two", "nine", ""):
        with pytest.raises(ModelMalformed):
            activate(store, name)


def test_a_version_is_one_content(tmp_path: Path) -> None:
    store = store_of(tmp_path, one=1.0)
    assert add(store, tmp_path / "one", ANY) == "one"
    made(tmp_path / "other", "one", 2.0)
    with pytest.raises(ModelMalformed, match="other content"):
        add(store, tmp_path / "other", ANY)


@pytest.mark.parametrize("text", ["active = 3", "active = ", "\xff"])
def test_roles_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "roles.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelMalformed, match=r"roles.toml"):
        locate(tmp_path)


@pytest.mark.parametrize(
    "settings", [{"budget_ms": "5"}, {"fallback": 1}, {"fallback": {"score": "x"}}, {"retry_s": -1}]
)
def test_settings_that_are_none(settings: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=r"settings\."):
        Policy.of(settings)


def test_no_directory_is_told() -> None:
    with pytest.raises(PluginError, match="set `model`"):
        GovernedModel.open(None, Policy())
    assert issubclass(ModelError, PluginError)
