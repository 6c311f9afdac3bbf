"""Train the models of the anomaly plugin. The same data give the same files.

    python plugins/anomaly/train.py --data SKAB [--shuttle SHUTTLE.csv.gz] [--out plugins/anomaly]

`model`: the detector that learns what is normal on the machine itself. Its recipe (window, limit,
hysteresis, shrinkage) is chosen by F1 on every second run of SKAB, in the order of their names; the
others are never looked at. What is chosen is written to plugin.toml, too.
`models/shuttle`: an isolation forest (Liu, Ting, Zhou 2008) on the normal rows of the first half of
Shuttle; the second half is never looked at.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest

from forebay_anomaly.benchmarks import (
    NORMAL_ROWS,
    Figures,
    Run,
    figures,
    read,
)
from forebay_anomaly.normal import Recipe, learn, window_means
from forebay_plugin.models import Draft, write_model

WINDOWS = (10, 15, 20, 30)
FACTORS = (2.0, 3.0, 4.0, 6.0, 8.0)
OFFS = (0.5, 0.7, 1.0)
SHRINKS = (0.1, 0.3, 0.5)
TREES = 50
LIMIT_QUANTILE = 0.995
OPSETS = [helper.make_opsetid("", 17)]
COMMAND = "python plugins/anomaly/train.py --data SKAB"

Choice = tuple[int, float, float, float]
"""Rows of a window, factor of the limit, score under which an alarm ends, shrinkage."""


def detector() -> bytes:
    """Give the graph: T² of a window's mean over the limit, and each tag's share of it."""
    double = TensorProto.DOUBLE
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["mean", "centre"], ["apart"]),
        helper.make_node("MatMul", ["apart", "precision"], ["weighted"]),
        helper.make_node("Mul", ["apart", "weighted"], ["shares"]),
        helper.make_node("Constant", [], ["last"], value_ints=[1]),
        helper.make_node("ReduceSum", ["shares", "last"], ["score"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info("x", double, ["batch", "rows", "tags"]),
        helper.make_tensor_value_info("centre", double, ["tags"]),
        helper.make_tensor_value_info("precision", double, ["tags", "tags"]),
    ]
    outputs = [
        helper.make_tensor_value_info("score", double, ["batch"]),
        helper.make_tensor_value_info("shares", double, ["batch", "tags"]),
    ]
    graph = helper.make_graph(nodes, "detector", inputs, outputs)
    return _bytes(helper.make_model(graph, opset_imports=OPSETS, ir_version=8))


def choose(runs: list[Run]) -> tuple[Choice, Figures]:
    """Give the choice with the best F1 over `runs`, and its figures."""
    best: tuple[Choice, Figures] | None = None
    for rows, shrink in itertools.product(WINDOWS, SHRINKS):
        scores = [_scores(one, rows, shrink) for one in runs]
        for factor, off in itertools.product(FACTORS, OFFS):
            alarms = [_hysteresis(score / factor, off) for score in scores]
            found = figures([one.labels for one in runs if one.labels is not None], alarms)
            if best is None or found.f1 > best[1].f1:
                best = (rows, factor, off, shrink), found
    assert best is not None
    return best


def train_detector(data: Path, out: Path) -> tuple[str, dict[str, str]]:
    """Choose the recipe and write `model`; give the manifest's hash and lines of plugin.toml."""
    runs = [one for one in read(data) if one.labels is not None]
    chosen = runs[::2]
    (rows, factor, off, shrink), found = choose(chosen)
    print(f"detector: window {rows} rows, factor {factor:g}, off {off:g}, shrink {shrink:g}")
    print(f"  on {len(chosen)} runs that chose it: {found}")
    reference = chosen[0].values[:NORMAL_ROWS]
    normal = learn(reference, rows, Recipe(shrink, factor))
    sample = np.stack([chosen[0].values[at : at + rows] for at in range(0, 8 * 100, 100)])
    draft = Draft(
        name="anomaly-detector",
        version="1",
        description="T² of a window's mean; what is normal is learnt on the machine.",
        onnx=detector(),
        selftest={"x": sample},
        thresholds={"score": 1.0},
        constants={
            "centre": normal.centre,
            "precision": normal.precision,
            "learn_shrink": np.array(shrink),
            "learn_factor": np.array(factor),
        },
        training={
            "command": COMMAND,
            "data": "SKAB",
            "data_sha256": [one.sha256 for one in chosen],
            "f1": round(found.f1, 4),
        },
    )
    return write_model(out / "model", draft), {"rows": str(rows), "off": f"{off:g}"}


def train_shuttle(data: Path, out: Path) -> str:
    """Write `models/shuttle`; give the manifest's hash."""
    (whole,) = read(data)
    first = whole.rows(slice(len(whole.values) // 2))
    assert first.labels is not None
    normal = first.values[~first.labels].astype(np.float32)
    forest = IsolationForest(n_estimators=TREES, random_state=0).fit(normal)
    usual, limit = np.quantile(-forest.score_samples(normal), (0.5, LIMIT_QUANTILE))
    draft = Draft(
        name="shuttle-forest",
        version="1",
        description="Isolation forest of nine sensors of a space shuttle.",
        onnx=forest_graph(forest, normal[:1], float(usual), float(limit)),
        selftest={"x": first.values[:64].astype(np.float32)},
        inputs={
            "x": {
                "names": list(first.tags),
                "ranges": np.stack([normal.min(0), normal.max(0)], 1).astype(float).tolist(),
            }
        },
        thresholds={"score": 1.0},
        drift={"x": normal},
        training={
            "command": COMMAND,
            "data": "Shuttle of the package river, first half",
            "data_sha256": [whole.sha256],
            "rows": len(normal),
            "seed": 0,
        },
    )
    return write_model(out / "models" / "shuttle", draft)


def forest_graph(forest: IsolationForest, row: Any, usual: float, limit: float) -> bytes:  # noqa: ANN401 - numpy array
    """Give the forest's graph with `score`: its own from `usual` to `limit`, as 0 to 1."""
    made = to_onnx(forest, row, target_opset={"": 17, "ai.onnx.ml": 3})
    graph = made.graph
    graph.name = "forest"  # it is random otherwise
    graph.input[0].name = "x"
    for node in graph.node:
        node.input[:] = ["x" if name == "X" else name for name in node.input]
    graph.node.extend(
        [
            helper.make_node("Constant", [], ["zero"], value_float=0.5 - usual),
            helper.make_node("Constant", [], ["width"], value_float=limit - usual),
            helper.make_node("Constant", [], ["column"], value_ints=[1]),
            helper.make_node("Sub", ["zero", "scores"], ["outlying"]),
            helper.make_node("Div", ["outlying", "width"], ["over"]),
            helper.make_node("Squeeze", ["over", "column"], ["score"]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return _bytes(made)


def _scores(one: Run, rows: int, shrink: float) -> Any:  # noqa: ANN401 - numpy array
    """(rows) T² of the window that ends there, over the largest of the normal rows."""
    normal = learn(one.values[:NORMAL_ROWS], rows, Recipe(shrink, 1.0))
    apart = window_means(one.values, rows) - normal.centre
    scores = np.einsum("ij,jk,ik->i", apart, normal.precision, apart)
    scores[: NORMAL_ROWS - rows + 1] = 0.0  # while it learns, it says nothing
    return np.concatenate([np.zeros(rows - 1), scores])


def _hysteresis(scores: Any, off: float) -> Any:  # noqa: ANN401 - numpy arrays
    alarms = np.zeros(len(scores), bool)
    alarm = False
    for index, score in enumerate(scores):
        alarm = score >= (off if alarm else 1.0)
        alarms[index] = alarm
    return alarms


def _configure(path: Path, lines: dict[str, str]) -> None:
    """Write what was chosen into plugin.toml, which must have these lines."""
    text = path.read_text(encoding="utf-8")
    for key, value in lines.items():
        text, found = re.subn(rf"(?m)^{key} = [^#\n]*?(?=\s*(?:#|$))", f"{key} = {value}", text)
        assert found == 1, key
    path.write_text(text, encoding="utf-8")


def _bytes(model: Any) -> bytes:  # noqa: ANN401 - protobuf message
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _shuttle() -> Path:
    found = importlib.util.find_spec("river")
    if found is None or found.origin is None:
        raise SystemExit("Shuttle is in the package river: pip install river, or name --shuttle")
    return Path(found.origin).parent / "datasets" / "shuttle.csv.gz"


def main() -> None:
    """Train both."""
    parser = argparse.ArgumentParser(description="Train the models of the anomaly plugin.")
    parser.add_argument("--data", type=Path, required=True, help="folder of SKAB's runs")
    parser.add_argument("--shuttle", type=Path, help="shuttle.csv.gz; default: of package river")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    given = parser.parse_args()
    detector_pin, lines = train_detector(given.data, given.out)
    pins = [detector_pin, train_shuttle(given.shuttle or _shuttle(), given.out)]
    lines["pinned_models"] = json.dumps(pins)
    _configure(given.out / "plugin.toml", lines)
    print("models", *pins)


if __name__ == "__main__":
    main()
