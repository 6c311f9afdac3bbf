"""Tightenings in units: faults that are injected, an envelope that is taught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_plugin.testing import Frame, run
from forebay_sequence.plugin import SequencePlugin
from forebay_sequence.simulated import CHECK, FAULTS, curve

DIRECTORY = Path(__file__).resolve().parents[1]
START_NS = 1_700_000_000_000_000_000
STEP = {"tag": "station/Step"}


def tightening(fault: str = "") -> Frame:
    """A unit with one screw: rows of 10 ms."""
    torque, angle = curve(np.random.default_rng(5), fault)
    idle = np.zeros(20)
    step = np.concatenate([idle, np.full(len(torque), 4.0), idle])
    return Frame(
        START_NS + np.arange(len(step)) * 10_000_000,
        {
            "station/Serial": np.where(np.arange(len(step)) < 5, 0, 500),
            "station/Step": step,
            "station/Torque": np.concatenate([idle, torque, idle]),
            "station/Angle": np.concatenate([idle, angle, idle]),
        },
    )


def screw(**over: Any) -> dict[str, Any]:
    joint = {key: value for key, value in CHECK.items() if key != "envelope"} | over
    step = {"name": "screw", "begin": {**STEP, "is": 4}, "checks": {"joint": joint}}
    return {"serial": "station/Serial", "steps": [step]}


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_faults_of_a_tightening_are_found(fault: str) -> None:
    envelope = {"points": [[0, 1.5], [85, 10.0]], "span": 80, "least": 0.9}
    frame = tightening(fault)
    ran = run(
        SequencePlugin,
        DIRECTORY,
        [frame],
        settings=screw(envelope=envelope),
        window={"rows": 1},
    )
    assert list(ran["result"].values) == (["NOK"] if fault else ["OK"])


def test_an_envelope_is_taught_and_then_kept() -> None:
    random = np.random.default_rng(3)
    parts = [curve(random) for _ in range(12)] + [curve(random, "soft")]
    gap = np.zeros(5)
    torque = np.concatenate([np.concatenate([gap, one, gap]) for one, _ in parts])
    angle = np.concatenate([np.concatenate([gap, one, gap]) for _, one in parts])
    serial = np.concatenate([np.full(len(one) + 10, 1 + n) for n, (one, _) in enumerate(parts)])
    step = np.concatenate([np.concatenate([gap, np.full(len(o), 4), gap]) for o, _ in parts])
    frame = Frame(
        START_NS + np.arange(len(step) + 1) * 10_000_000,
        {
            "station/Serial": np.concatenate([[0], serial]),
            "station/Step": np.concatenate([[0], step]),
            "station/Torque": np.concatenate([[0], torque]),
            "station/Angle": np.concatenate([[0], angle]),
        },
    )
    recipe = screw(
        envelope={"teach": 10, "span": 80, "least": 0.8}, final_angle=[60, 200], drop=2.0
    )
    ran = run(SequencePlugin, DIRECTORY, [frame], settings=recipe, window={"rows": 1})
    assert list(ran["result"].values) == ["OK"] * 12 + ["NOK"]
    assert "envelope" in json.loads(ran["record"].values[-1])["reasons"][0]["code"]


def test_points_without_a_curve_are_not_ok() -> None:
    whole = tightening()
    few = Frame(whole.times_ns, {**whole.columns, "station/Angle": np.zeros(len(whole.times_ns))})
    ran = run(SequencePlugin, DIRECTORY, [few], settings=screw(), window={"rows": 1})
    assert list(ran["result"].values) == ["UNKNOWN"]
