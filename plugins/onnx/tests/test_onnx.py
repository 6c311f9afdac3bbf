"""What a model's makers recorded comes out of the plugin, however their model is shaped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from forebay_onnx import Onnx
from forebay_plugin import BAD, GOOD, UNCERTAIN, PluginError
from forebay_plugin.models import Draft, ModelUntrusted, Trust, write_model
from forebay_plugin.models.store import activate, add, propose, rollback
from forebay_plugin.testing import Frame, Ran, run, run_process
from support.onnx_models import made

PLUGIN = Path(__file__).resolve().parents[1]
RECORDED = Path(onnx.__file__).parent / "backend/test/data"
UNSIGNED = {"allow_unsigned": True}
MODELS = (
    "pytorch-converted/test_Conv1d",
    "pytorch-converted/test_Conv1d_pad1size1",
    "pytorch-converted/test_Conv2d_padding",
    "pytorch-converted/test_ConvTranspose2d",
    "pytorch-converted/test_ELU",
    "pytorch-converted/test_Embedding",
    "pytorch-converted/test_Linear_no_bias",
    "pytorch-converted/test_LogSoftmax",
    "pytorch-converted/test_MaxPool1d",
    "pytorch-converted/test_MaxPool3d",
    "pytorch-converted/test_PixelShuffle",
    "pytorch-converted/test_softmax_lastdim",
    "pytorch-operator/test_operator_chunk",
    "pytorch-operator/test_operator_concat2",
    "pytorch-operator/test_operator_max",
    "pytorch-operator/test_operator_reduced_mean",
    "simple/test_sequence_model7",
    "simple/test_shrink",
    "simple/test_sign_model",
    "simple/test_single_relu_model",
)
FIGURES_MAX = 24


def recorded(folder: Path, what: str) -> list[np.ndarray[Any, Any]]:
    """The tensors of one recording, in the order of their numbers."""
    found = []
    for path in sorted((folder / "test_data_set_0").glob(f"{what}_*.pb")):
        tensor = TensorProto()
        tensor.ParseFromString(path.read_bytes())
        found.append(numpy_helper.to_array(tensor))
    return found


def manifest(directory: Path, outputs: list[str], kind: str = "float64") -> Path:
    """The plugin's manifest with other outputs, as a configuration may name them."""
    text = (PLUGIN / "plugin.toml").read_text(encoding="utf-8")
    for name in outputs:
        text += f'\n[outputs.{name}]\nkind = "tag"\ntype = "{kind}"\n'
    directory.mkdir(exist_ok=True)
    (directory / "plugin.toml").write_text(text, encoding="utf-8")
    return directory


@pytest.mark.parametrize("name", MODELS)
def test_what_was_recorded_comes_out(tmp_path: Path, name: str) -> None:
    content = (RECORDED / name / "model.onnx").read_bytes()
    graph = onnx.load_model_from_string(content).graph
    held = {one.name for one in graph.initializer}
    names = [one.name for one in graph.input if one.name not in held]
    inputs = dict(zip(names, recorded(RECORDED / name, "input"), strict=True))
    wanted = dict(
        zip([one.name for one in graph.output], recorded(RECORDED / name, "output"), strict=True)
    )
    write_model(tmp_path / "model", Draft("m", "1", name, content, selftest=inputs))
    columns: dict[str, Any] = {}
    tags: dict[str, list[str]] = {}
    rows = {values.size // values.shape[-1] for values in inputs.values()}
    assert len(rows) == 1
    for key, values in inputs.items():
        table = values.reshape(-1, values.shape[-1])
        tags[key] = [f"d/{key}_{index}" for index in range(table.shape[1])]
        columns |= {tag: table[:, index] for index, tag in enumerate(tags[key])}
    take = {
        f"y_{number}_{index}": f"{output}[{index}]"
        for number, (output, values) in enumerate(wanted.items())
        for index in np.unique(np.linspace(0, values.size - 1, FIGURES_MAX).astype(int)).tolist()
    }
    got = run(
        Onnx,
        manifest(tmp_path / "plugin", list(take)),
        [Frame.sampled(columns)],
        settings=UNSIGNED | {"take": take, "tags": tags, "layout": "flat"},
        window={"rows": rows.pop()},
        model=tmp_path / "model",
    )
    assert not got.failures
    for output, what in take.items():
        key, _, index = what.removesuffix("]").rpartition("[")
        reference = float(wanted[key].ravel()[int(index)])
        assert got[output].values[0] == pytest.approx(reference, rel=1e-4, abs=1e-5), what


def tags(rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {f"d/{name}": rows[:, index] for index, name in enumerate("abc")}


def ran(rows: np.ndarray[Any, Any], model: Path, **over: Any) -> Ran:
    settings = UNSIGNED | over.pop("settings", {})
    return run(Onnx, PLUGIN, [Frame.sampled(tags(rows))], settings=settings, model=model, **over)


def test_each_window_of_a_batch_has_its_own_figure(tmp_path: Path) -> None:
    made(tmp_path)
    rows = np.random.default_rng(4).normal(size=(1000, 3))
    got = ran(rows, tmp_path)
    np.testing.assert_allclose(got["value"].values, np.abs(rows).max(axis=1), rtol=1e-6)
    assert got.facts["runs"] == "many windows a run"
    state = json.loads(got["state"].values[-1])
    assert state["counts"]["rows"] == 1000
    assert set(state["psi"]) == {"a", "b", "c"}
    assert got["drift"].values[-1] < 0.1


def test_columns_come_by_name_and_not_by_luck(tmp_path: Path) -> None:
    made(tmp_path, inputs={"x": {"names": ["c", "a", "b"], "ranges": [[0, 1], [10, 11], [20, 21]]}})
    rows = np.array([[10.5, 20.5, 0.5]])
    assert ran(rows, tmp_path)["value"].quality.tolist() == [GOOD]
    order = {"columns": ["d/a", "d/b", "d/c"]}
    assert ran(rows, tmp_path, settings=order)["value"].quality.tolist() == [UNCERTAIN]
    with pytest.raises(PluginError, match="takes 3 columns, and the inputs are 2"):
        ran(rows, tmp_path, settings={"columns": ["d/a", "d/b"]})
    with pytest.raises(PluginError, match="d/z is no input"):
        ran(rows, tmp_path, settings={"columns": ["d/z", "d/b", "d/c"]})


def test_a_missing_value_is_bad_and_the_next_is_not(tmp_path: Path) -> None:
    made(tmp_path)
    quality = np.zeros(10, np.uint32)
    quality[4] = BAD
    frame = Frame.sampled(tags(np.ones((10, 3))), quality={"d/b": quality})
    got = run(Onnx, PLUGIN, [frame], settings=UNSIGNED, model=tmp_path)
    assert (got["value"].quality & BAD != 0).nonzero()[0].tolist() == [4]
    assert not got.failures


def test_an_unsigned_model_is_refused_by_default(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(ModelUntrusted, match="sign it with"):
        run(Onnx, PLUGIN, [Frame.sampled(tags(np.ones((3, 3))))], model=tmp_path)


def convolution() -> bytes:
    """(batch, 3, 4) -> (batch, 3): the mean over time of each channel."""
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4]),
        helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 3]),
    ]
    node = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2], keepdims=0)
    graph = helper.make_graph([node], "mean", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def test_channels_may_come_before_time(tmp_path: Path) -> None:
    sample = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    write_model(tmp_path, Draft("mean", "1", "", convolution(), selftest={"x": sample}))
    rows = np.random.default_rng(1).normal(size=(40, 3))
    take = {"layout": "columns", "take": {"value": "mean[2]"}}
    got = ran(rows, tmp_path, settings=take, window={"rows": 4})
    np.testing.assert_allclose(got["value"].values, rows[:, 2].reshape(10, 4).mean(1), rtol=1e-5)
    wrong = ran(rows, tmp_path, settings=take, window={"rows": 5})
    assert len(wrong.failures) == wrong.windows == 8
    assert "has shape (1, 3, 5)" in wrong.failures[0][1]


def recurrence() -> bytes:
    """`h' = 0.9 h + x`, and `y = h' · h'`: a model that remembers."""
    floats = {"x": [1, 1], "h": [1, 1], "y": [1, 1], "h_out": [1, 1]}
    ends = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in floats.items()
    }
    nodes = [
        helper.make_node("Constant", [], ["keep"], value_float=0.9),
        helper.make_node("Mul", ["h", "keep"], ["kept"]),
        helper.make_node("Add", ["kept", "x"], ["h_out"]),
        helper.make_node("Mul", ["h_out", "h_out"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "r", [ends["x"], ends["h"]], [ends["y"], ends["h_out"]])
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def test_a_model_that_keeps_state_goes_on_from_window_to_window(tmp_path: Path) -> None:
    one = np.ones((1, 1), np.float32)
    write_model(
        tmp_path,
        Draft(
            "recurrence",
            "1",
            "",
            recurrence(),
            selftest={"x": one, "h": one},
            inputs={"h": {"state": "h_out"}},
        ),
    )
    values = np.random.default_rng(7).normal(size=200)
    state, expected = 0.0, []
    for value in values:
        state = 0.9 * state + value
        expected.append(state * state)
    columns = {"d/a": values}
    got = run(Onnx, PLUGIN, [Frame.sampled(columns)], settings=UNSIGNED, model=tmp_path)
    assert got.facts["runs"] == "one window a run"
    np.testing.assert_allclose(got["value"].values, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"take": {"value": "nothing[0]"}}, "is none of the model's"),
        ({"take": {"other": "score"}}, "no such output"),
        ({"take": "score"}, "must be a table"),
        ({"layout": "sideways"}, "must be one of"),
        ({"tags": []}, "must be a table"),
        ({"report": 0}, "whole number"),
        ({"columns": "a"}, "must be a list"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    made(tmp_path)
    with pytest.raises(PluginError, match=says):
        ran(np.ones((1, 3)), tmp_path, settings=settings)


def test_a_store_serves_the_active_model_and_tells_of_the_candidate(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for version, weight in (("old", 1.0), ("new", 2.0)):
        made(tmp_path / version, version, weight)
        add(store, tmp_path / version, Trust(allow_unsigned=True))
    activate(store, "old")
    propose(store, "new")
    rows = np.full((100, 3), 1.5)
    got = ran(rows, store)
    assert got["value"].values.tolist() == [1.5] * 100
    assert (got.facts["model"], got.facts["candidate"]) == ("scaled-max old", "scaled-max new")
    agreement = json.loads(got["state"].values[-1])["agreement"]
    assert (agreement["rows"], agreement["mean_difference"]) == (100, 1.5)
    assert (agreement["same_verdict"], agreement["only_candidate_finds"]) == (0, 100)
    activate(store, "new")
    assert ran(rows, store)["value"].values.tolist() == [3.0] * 100
    rollback(store)
    assert ran(rows, store)["value"].values.tolist() == [1.5] * 100


@pytest.mark.parametrize(("shape", "rows"), [([1, 3], 1), ([1, 2, 3], 2)])
def test_a_model_for_one_row_at_a_time_works_on_each(
    tmp_path: Path, shape: list[int], rows: int
) -> None:
    """As exporters leave it: the first dimension fixed to one."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    sample = np.ones(shape, np.float32)
    write_model(tmp_path, Draft("negative", "1", "", content, selftest={"x": sample}))
    values = np.random.default_rng(1).normal(size=(20, 3))
    got = ran(values, tmp_path, settings={"take": {"value": "y[1]"}}, window={"rows": rows})
    np.testing.assert_allclose(got["value"].values, -values[::rows, 1], rtol=1e-6)


def test_as_its_own_process(tmp_path: Path) -> None:
    made(tmp_path)
    rows = np.random.default_rng(4).normal(size=(500, 3))
    got = run_process(PLUGIN, [Frame.sampled(tags(rows))], settings=UNSIGNED, model=tmp_path)
    np.testing.assert_allclose(got["value"].values, np.abs(rows).max(axis=1), rtol=1e-6)
    assert got.facts["model"] == "scaled-max 1"
