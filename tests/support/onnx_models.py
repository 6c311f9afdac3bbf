"""Small ONNX models for tests: `score = max over columns of |x · weight|`, one row a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper

from forebay_plugin.models import Draft, write_model

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = 3


def scaled_max(weight: float = 1.0, columns: int = COLUMNS, output: str = "score") -> bytes:
    """Give the model's file."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value_floats=[weight] * columns),
        helper.make_node("Mul", ["x", "w"], ["scaled"]),
        helper.make_node("Abs", ["scaled"], ["size"]),
        helper.make_node("ReduceMax", ["size"], [output], axes=[1], keepdims=0),
    ]
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", columns])
    score = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch"])
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "scaled-max", [rows], [score])
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def only_four_rows() -> bytes:
    """Give a model that says it takes any number of rows, and fails with all but four."""
    nodes = [
        helper.make_node("Constant", [], ["four"], value_ints=[4, COLUMNS]),
        helper.make_node("Reshape", ["x", "four"], ["same"]),
        helper.make_node("ReduceMax", ["same"], ["score"], axes=[1], keepdims=0),
    ]
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", COLUMNS])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "four", [rows], [score])
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def draft(version: str = "1", weight: float = 1.0, **changes: Any) -> Draft:
    """Give what a training command would hand to `write_model`."""
    rows = np.random.default_rng(1).normal(size=(500, COLUMNS)).astype(np.float32)
    fields: dict[str, Any] = {
        "name": "scaled-max",
        "version": version,
        "description": "Largest of the scaled columns.",
        "onnx": scaled_max(weight),
        "selftest": {"x": rows[:4]},
        "inputs": {"x": {"names": ["a", "b", "c"], "ranges": [[-5.0, 5.0]] * COLUMNS}},
        "thresholds": {"score": 2.0},
        "drift": {"x": rows},
        "training": {"command": "none: made by a test"},
    }
    return Draft(**(fields | changes))


def made(directory: Path, version: str = "1", weight: float = 1.0, **changes: Any) -> str:
    """Write such a model; give the SHA-256 of its manifest."""
    return write_model(directory, draft(version, weight, **changes))
