"""Train the models of the vision plugin. The same data give the same files.

    python plugins/vision/train.py --data NEU-DET [--upto 140] [--out plugins/vision]

Of each kind the pictures numbered 1 to `--upto` train; no other is read. `kind` is a logistic
regression on the features of the whole picture, as it is and mirrored.
`cells` is a small network for each kind, which tells a defect's cells from the others of pictures
of that kind. `boxes` learns on maps that networks gave of pictures that they were not trained on.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from forebay_plugin.models import Draft, data_sha256, write_model
from forebay_vision import boxes as boxing
from forebay_vision import pictures, texture
from forebay_vision.benchmarks import Picture, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

UPTO = 140
FOLDS = 3
CELLS_AT_MOST = 70_000
HIDDEN = 32
JUDGE_HIDDEN = 48
NEAR = 0.3
"""Overlap with a known box from which a proposal teaches how to move."""
OPSETS = [helper.make_opsetid("", 17)]
COMMAND = "python plugins/vision/train.py --data NEU-DET"


class Scaled:
    """Columns told from their mean in their spread; what is put before a network as its layer 0."""

    def __init__(self, rows: Rows) -> None:
        self.mean = rows.mean(axis=0, dtype=np.float64)
        self.scale = 1 / np.maximum(rows.std(axis=0, dtype=np.float64), 1e-4)

    def of(self, rows: Rows) -> Rows:
        """Give rows as the network takes them."""
        found: Rows = np.clip((rows - self.mean) * self.scale, -10, 10).astype(np.float32)
        return found


def graph(output: str, scaled: Scaled, layers: Sequence[tuple[Any, Any]], last: str) -> bytes:
    """Give an ONNX network: scaling, dense layers with Relu between them, and `last` behind."""
    floats, nodes, held = TensorProto.FLOAT, [], []

    def keep(name: str, array: Any) -> str:  # noqa: ANN401 - anything that numpy takes
        held.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    nodes.append(helper.make_node("Sub", ["x", keep("mean", scaled.mean)], ["centred"]))
    nodes.append(helper.make_node("Mul", ["centred", keep("scale", scaled.scale)], ["wide"]))
    limits = [keep("least", -10.0), keep("most", 10.0)]
    nodes.append(helper.make_node("Clip", ["wide", *limits], ["h0"]))
    for number, (weights, bias) in enumerate(layers):
        given = [f"h{number}", keep(f"w{number}", weights), keep(f"b{number}", bias)]
        dense = f"d{number}"
        nodes.append(helper.make_node("Gemm", given, [dense]))
        if number < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [dense], [f"h{number + 1}"]))
    nodes.append(helper.make_node(last, [f"d{len(layers) - 1}"], [output]))
    x = helper.make_tensor_value_info("x", floats, ["batch", len(scaled.mean)])
    y = helper.make_tensor_value_info(output, floats, ["batch", len(layers[-1][1])])
    made = helper.make_graph(nodes, output, [x], [y], held)
    packed: bytes = helper.make_model(made, opset_imports=OPSETS, ir_version=8).SerializeToString()
    return packed


def grey(picture: Picture) -> NDArray[np.uint8]:
    """Read a picture as the plugin does."""
    with Image.open(picture.path) as image:
        return pictures.grey(image)


def train_kind(found: Sequence[Picture], greys: Sequence[Any], kinds: list[str], out: Path) -> str:
    """Write `kind`; give its manifest's hash."""
    rows, labels = [], []
    for picture, one in zip(found, greys, strict=True):
        others = (one[:, ::-1], one[::-1], one[::-1, ::-1])
        for mirrored in (one, others[picture.number % len(others)]):
            rows.append(texture.of_picture(texture.normal(mirrored)))
            labels.append(kinds.index(picture.kind))
    table = np.array(rows)
    scaled = Scaled(table)
    model = LogisticRegression(C=0.05, max_iter=500).fit(scaled.of(table), labels)
    onnx = graph("likely", scaled, [(model.coef_.T, model.intercept_)], "Softmax")
    return write_model(
        out / "kind", draft("kind", "What a picture shows.", onnx, table[::200], found, kinds=kinds)
    )


def train_cells(
    found: Sequence[Picture], greys: Sequence[Any], kinds: list[str], out: Path
) -> tuple[str, list[Rows]]:
    """Write `cells`; give its manifest's hash, and a map of each picture by who never saw it."""
    scaled = Scaled(np.concatenate([_cells(one) for one in greys[::4]]))
    maps: list[Rows] = [np.zeros((texture.GRID, texture.GRID), np.float32)] * len(found)
    firsts, seconds = [], []
    for kind in kinds:
        mine = [at for at, picture in enumerate(found) if picture.kind == kind]
        rows = {at: scaled.of(_cells(greys[at])).astype(np.float16) for at in mine}
        truth = {at: _truth(found[at].boxes) for at in mine}
        for fold in range(FOLDS):
            held = [at for at in mine if found[at].number % FOLDS == fold]
            model = _network(rows, truth, [at for at in mine if at not in held])
            for at in held:
                likely = model.predict_proba(rows[at].astype(np.float32))[:, 1]
                maps[at] = likely.astype(np.float32).reshape(texture.GRID, texture.GRID)
        model = _network(rows, truth, mine)
        firsts.append((model.coefs_[0], model.intercepts_[0]))
        seconds.append((model.coefs_[1], model.intercepts_[1]))
        print(f"cells of {kind}: {model.loss_:.3f}", flush=True)
    weights = np.zeros((HIDDEN * len(kinds), len(kinds)))
    for number, (own, _) in enumerate(seconds):
        weights[number * HIDDEN : (number + 1) * HIDDEN, number] = own[:, 0]
    layers = [
        (np.concatenate([w for w, _ in firsts], axis=1), np.concatenate([b for _, b in firsts])),
        (weights, np.concatenate([b for _, b in seconds])),
    ]
    onnx = graph("heat", scaled, layers, "Sigmoid")
    some = np.concatenate([_cells(one)[::400] for one in greys[::100]])
    sha256 = write_model(
        out / "cells", draft("cells", "Where it is.", onnx, some, found, kinds=kinds)
    )
    return sha256, maps


def _cells(one: NDArray[np.uint8]) -> Rows:
    return texture.of_cells(texture.normal(one))


def _truth(boxes: Rows) -> NDArray[np.bool_]:
    """Give which cells lie in a box by more than half."""
    pixels = np.zeros((texture.SIDE, texture.SIDE), np.float32)
    for left, top, right, bottom in boxes.astype(int):
        pixels[top:bottom, left:right] = 1
    side = (texture.GRID, texture.CELL)
    shares: Rows = pixels.reshape(*side, *side).mean(axis=(1, 3))
    return shares.ravel() > 0.5


def _network(rows: dict[int, Any], truth: dict[int, Any], of: Sequence[int]) -> MLPClassifier:
    table = np.concatenate([rows[at] for at in of])
    labels = np.concatenate([truth[at] for at in of])
    some = np.random.default_rng(0).permutation(len(table))[:CELLS_AT_MOST]
    model = MLPClassifier(
        hidden_layer_sizes=(HIDDEN,),
        alpha=0.01,
        max_iter=8,
        learning_rate_init=2e-3,
        batch_size=256,
        random_state=0,
    )
    return model.fit(table[some].astype(np.float32), labels[some])


def train_boxes(found: Sequence[Picture], maps: Sequence[Rows], kinds: list[str], out: Path) -> str:
    """Write `boxes`; give its manifest's hash."""
    told = []
    for picture, heat in zip(found, maps, strict=True):
        proposed = boxing.propose(heat, kinds.index(picture.kind), len(kinds))
        if len(proposed.boxes):
            told.append((proposed, (picture.boxes / texture.CELL).astype(np.float32)))
    table = np.concatenate([proposed.features for proposed, _ in told])
    pairs = [_lesson(proposed.boxes, known) for proposed, known in told]
    alike = np.concatenate([one for one, _ in pairs])
    offsets = np.concatenate([other for _, other in pairs])
    scaled = Scaled(table)
    near = alike > NEAR
    mover = _regressor().fit(scaled.of(table[near]), offsets[near])
    scores = [
        _alike(
            boxing.moved(p.boxes, mover.predict(scaled.of(p.features)), (texture.GRID,) * 2), known
        )
        for p, known in told
    ]
    judge = _regressor().fit(scaled.of(table), np.concatenate(scores))
    first = np.concatenate([judge.coefs_[0], mover.coefs_[0]], axis=1)
    second = np.zeros((2 * JUDGE_HIDDEN, 1 + boxing.EDGES))
    second[:JUDGE_HIDDEN, :1] = judge.coefs_[1]
    second[JUDGE_HIDDEN:, 1:] = mover.coefs_[1]
    biases = [np.concatenate([judge.intercepts_[n], mover.intercepts_[n]]) for n in (0, 1)]
    onnx = graph("judged", scaled, [(first, biases[0]), (second, biases[1])], "Identity")
    about = draft("boxes", "Judges and moves boxes.", onnx, table[::200], found, kinds=kinds)
    return write_model(out / "boxes", about)


def _regressor() -> MLPRegressor:
    return MLPRegressor(
        hidden_layer_sizes=(JUDGE_HIDDEN,),
        alpha=0.05,
        max_iter=60,
        learning_rate_init=2e-3,
        random_state=0,
    )


def _lesson(proposed: Rows, known: Rows) -> tuple[Rows, Rows]:
    """Give how much each proposal is like the known box nearest to it, and how it must move."""
    alike, offsets = np.zeros(len(proposed), np.float32), np.zeros(proposed.shape, np.float32)
    for at, box in enumerate(proposed):
        if len(known):
            shares, _ = boxing.overlaps(box, known)
            best = int(shares.argmax())
            alike[at] = shares[best]
            size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            offsets[at] = np.clip((known[best] - box) / size, -0.4, 0.4)
    return alike, offsets


def _alike(boxes: Rows, known: Rows) -> Rows:
    return _lesson(boxes, known)[0]


def draft(
    name: str, about: str, onnx: bytes, some: Rows, found: Sequence[Picture], kinds: list[str]
) -> Draft:
    """Give what `model.toml` says of one of the three."""
    return Draft(
        name=f"vision-{name}",
        version="1",
        description=about,
        onnx=onnx,
        selftest={"x": some[:16].astype(np.float32)},
        training={
            "command": COMMAND,
            "data_sha256": data_sha256(*(picture.path for picture in found)),
            "kinds": kinds,
        },
        rtol=1e-3,
        atol=1e-4,
    )


def pin(manifest: Path, hashes: Sequence[str]) -> None:
    """Write into plugin.toml which models it trusts."""
    lines = manifest.read_text(encoding="utf-8").splitlines()
    told = ", ".join(f'"{one}"' for one in hashes)
    lines = [f"pinned_models = [{told}]" if x.startswith("pinned_models") else x for x in lines]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Train all three."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--upto", type=int, default=UPTO)
    arguments.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    given = arguments.parse_args()
    warnings.filterwarnings(
        "ignore", category=ConvergenceWarning
    )  # epochs are counted, not waited for
    begun_s = time.monotonic()
    found = [picture for picture in read(given.data) if picture.number <= given.upto]
    kinds = sorted({picture.kind for picture in found})
    greys = [grey(picture) for picture in found]
    model = given.out / "model"
    with threadpool_limits(1):  # sums of several threads differ from run to run
        hashes = [train_kind(found, greys, kinds, model)]
        print(f"kind: {time.monotonic() - begun_s:.0f} s", flush=True)
        sha256, maps = train_cells(found, greys, kinds, model)
        hashes += [sha256, train_boxes(found, maps, kinds, model)]
    pin(given.out / "plugin.toml", hashes)
    print(f"{len(found)} pictures, {len(kinds)} kinds: {time.monotonic() - begun_s:.0f} s")


if __name__ == "__main__":
    main()
