"""Train the model of the wear plugin. The same data give the same files.

    python plugins/wear/train.py --data CMAPSS [--out plugins/wear] [--engines N] [--trees N]

CMAPSS is a folder with train* in C-MAPSS' form: engines that ran to their end. Gradient boosted
trees on features of the last cycles; the band comes from residuals of engines that the model which
judged them had not seen (cross-conformal: V. Vovk, 2015). Files test* are not opened.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from forebay_plugin.models import Draft, data_sha256, write_model
from forebay_wear import cmapss
from forebay_wear.cmapss import MOST, SENSORS, Engine
from forebay_wear.features import CYCLES, Numbers, features, names

FOLDS = 5
TREES = 200
SEED = 0
SHORTEST = 5
COVERAGE = 0.9
BAND_AT = np.array([5.0, 15.0, 25.0, 40.0, 60.0, 80.0, 100.0, 115.0, 123.0])
BAND_REACH = 12.0
"""Residuals of answers so near, in cycles, make the band there."""
BAND_LEAST = 30
FLOAT = TensorProto.FLOAT
COMMAND = "python plugins/wear/train.py --data CMAPSS"


class Rows:
    """Features, lives, engine and shortness of many moments of many engines."""

    def __init__(self, engines: list[Engine], columns: list[int]) -> None:
        random = np.random.default_rng(SEED)
        whole = np.concatenate([one.sensors[:, columns] for one in engines])
        self.centre, self.spread = whole.mean(axis=0), whole.std(axis=0)
        x, y, who, short = [], [], [], []
        for at, one in enumerate(engines):
            cycles = (one.sensors[:, columns] - self.centre) / self.spread
            for end in range(SHORTEST, len(cycles) + 1):
                lengths = [CYCLES] if end >= CYCLES else []
                if end % 2 or not lengths:
                    lengths.append(int(random.integers(SHORTEST, min(end, CYCLES - 1) + 1)))
                for length in lengths:
                    x.append(features(cycles[end - length : end]))
                    y.append(min(len(cycles) - end, MOST))
                    who.append(at)
                    short.append(length < CYCLES)
        self.x = np.array(x).astype(np.float32)
        self.y, self.who, self.short = np.array(y, float), np.array(who), np.array(short)


def telling(engines: list[Engine]) -> list[int]:
    """Columns of the sensors that move: the others say nothing of wear."""
    whole = np.concatenate([one.sensors for one in engines])
    moves = whole.std(axis=0) > 1e-6 * np.abs(whole.mean(axis=0))
    return [at for at in np.flatnonzero(moves).tolist() if len(np.unique(whole[:, at])) > 6]


def fit(x: Any, y: Numbers, trees: int) -> HistGradientBoostingRegressor:  # noqa: ANN401 - numpy array
    """Train one model."""
    model = HistGradientBoostingRegressor(
        max_iter=trees, learning_rate=0.05, max_leaf_nodes=15, random_state=SEED
    )
    with threadpool_limits(1):  # more threads only wait for each other on a machine that is busy
        return model.fit(x, y)


def unseen(rows: Rows, trees: int) -> Numbers:
    """Answer for each row by a model that saw nothing of its engine."""
    said = np.empty(len(rows.y))
    for fold in range(FOLDS):
        mine = rows.who % FOLDS == fold
        said[mine] = fit(rows.x[~mine], rows.y[~mine], trees).predict(rows.x[mine])
    return np.clip(said, 0.0, MOST)


def bands(said: Numbers, rows: Rows) -> tuple[Numbers, Numbers]:
    """(2, points) ends of the band beside the answer; first with all cycles, then with fewer."""
    ends = np.empty((2, 2, len(BAND_AT)))
    for short in (0, 1):
        mine = rows.short == bool(short)
        near, rest = said[mine], (rows.y - said)[mine]
        for at, point in enumerate(BAND_AT):
            apart = np.abs(near - point)
            reach = max(BAND_REACH, float(np.sort(apart)[min(BAND_LEAST, len(apart) - 1)]))
            tails = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
            ends[:, short, at] = np.quantile(rest[apart <= reach], tails)
    return ends[0], ends[1]


def baseline(engines: list[Engine], columns: list[int]) -> dict[str, Numbers]:
    """What is beaten: mean life, and least squares on the counter and the sensors' last values."""
    rows = np.concatenate([np.column_stack([e.cycles, e.sensors[:, columns]]) for e in engines])
    lives = np.concatenate([np.minimum(len(e.cycles) - e.cycles, MOST) for e in engines])
    given = np.column_stack([np.ones(len(rows)), rows])
    return {
        "baseline_life": np.array(float(np.mean([len(e.cycles) for e in engines]))),
        "baseline_mean": np.array(float(lives.mean())),
        "baseline_weights": np.linalg.lstsq(given, lives, rcond=None)[0],
    }


def graph(model: HistGradientBoostingRegressor) -> bytes:
    """Give the trees as ONNX: `x` (batch, columns) to `remaining` (batch, 1)."""
    trees = [stage[0].nodes for stage in model._predictors]  # noqa: SLF001 - there is no public way
    nodes = np.concatenate(trees)
    tree = np.concatenate([np.full(len(one), at) for at, one in enumerate(trees)])
    within = np.concatenate([np.arange(len(one)) for one in trees])
    leaf = nodes["is_leaf"].astype(bool)
    limits = nodes["num_threshold"].astype(np.float32)
    over = limits > nodes["num_threshold"]  # a float32 is under both, or over both
    limits[over] = np.nextafter(limits[over], np.float32(-np.inf))
    attributes: dict[str, Any] = {
        "n_targets": 1,
        "base_values": [float(np.asarray(model._baseline_prediction).item())],  # noqa: SLF001
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": within.tolist(),
        "nodes_featureids": nodes["feature_idx"].astype(int).tolist(),
        "nodes_values": np.where(leaf, 0.0, limits).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_truenodeids": nodes["left"].astype(int).tolist(),
        "nodes_falsenodeids": nodes["right"].astype(int).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": within[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": nodes["value"][leaf].tolist(),
    }
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    "TreeEnsembleRegressor",
                    ["x"],
                    ["remaining"],
                    domain="ai.onnx.ml",
                    **attributes,
                )
            ],
            "wear",
            [helper.make_tensor_value_info("x", FLOAT, ["batch", model.n_features_in_])],
            [helper.make_tensor_value_info("remaining", FLOAT, ["batch", 1])],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    checker.check_model(made)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def train(data: Path, out: Path, most: int | None, trees: int) -> str:
    """Write `model`; give the hash of its manifest."""
    sources = cmapss.files(data, "train")
    engines = [engine for path in sources for engine in cmapss.read(path)][:most]
    columns = telling(engines)
    rows = Rows(engines, columns)
    said = unseen(rows, trees)
    low, high = bands(said, rows)
    rmse = float(np.sqrt(np.mean((said - rows.y)[~rows.short] ** 2)))
    print(f"{len(engines)} engines, {len(rows.y)} moments; RMSE of unseen engines {rmse:.2f}")
    model = fit(rows.x, rows.y, trees)
    least, greatest = rows.x.min(axis=0), rows.x.max(axis=0)
    margin = (greatest - least) * 0.1
    ranges = np.stack([least - margin, greatest + margin], axis=1).astype(float)
    step = max(1, len(rows.x) // 32)
    draft = Draft(
        name="wear-turbofan",
        version="1",
        description="Remaining cycles of a turbofan engine from its last 30 cycles.",
        onnx=graph(model),
        selftest={"x": rows.x[::step][:32]},
        inputs={"x": {"names": names([SENSORS[at] for at in columns]), "ranges": ranges.tolist()}},
        constants={
            "centre": rows.centre,
            "spread": rows.spread,
            "most": np.array(MOST),
            "band_at": BAND_AT,
            "band_low": low,
            "band_high": high,
            **baseline(engines, columns),
        },
        training={
            "command": COMMAND,
            "data": "NASA C-MAPSS, files train*",
            "data_sha256": data_sha256(*sources),
            "engines": len(engines),
            "seed": SEED,
            "coverage": COVERAGE,
            "rmse_unseen_engines": round(rmse, 2),
        },
    )
    return write_model(out / "model", draft)


def main() -> None:
    """Train, and pin the model in plugin.toml."""
    parser = argparse.ArgumentParser(description="Train the model of the wear plugin.")
    parser.add_argument("--data", type=Path, required=True, help="folder of C-MAPSS' files")
    parser.add_argument("--engines", type=int, help="only so many, for a quick look")
    parser.add_argument("--trees", type=int, default=TREES)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    given = parser.parse_args()
    pin = train(given.data, given.out, given.engines, given.trees)
    path = given.out / "plugin.toml"
    text = path.read_text(encoding="utf-8")
    text, found = re.subn(r"(?m)^pinned_models = .*$", f'pinned_models = ["{pin}"]', text)
    assert found == 1
    path.write_text(text, encoding="utf-8")
    print("model", pin)


if __name__ == "__main__":
    main()
