"""What a stage costs: CPU per value of scans of 10,000 float32 tags, against a plain loop.

The loop is a deadband as one would write it over a dictionary of last values: the least that a
Python object a sample costs.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import Figure, figure
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.stages import deadband, swinging_door
from forebay.stages.deadband.config import DeadbandSettings
from forebay.stages.swinging_door.config import SwingingDoorSettings

if TYPE_CHECKING:
    from forebay.interfaces import Stage

TAGS, SCANS, ROUNDS = 10_000, 100, 5
ACCURACY = 0.2
"""In the unit of the walk: threshold and deviation alike."""


def walk() -> list[Batch]:
    """Give scans of a random walk (0.05 a step) around 20, rounded to 0.01; one a second."""
    tags = tuple(Tag(f"t{n}", "-", ValueType.FLOAT32) for n in range(TAGS))
    schema = Schema("bench", "all", tags)
    steps = np.random.default_rng(1).normal(0, 0.05, (SCANS, TAGS))
    values = np.round(20 + np.cumsum(steps, axis=0), 2).astype(np.float32)
    times = [np.array([n * 1_000_000_000], np.int64) for n in range(SCANS)]
    return [
        Batch(schema, at, at + 1_000_000, (values[n : n + 1],), boottime_ns=at)
        for n, at in enumerate(times)
    ]


def of_stage(stage: Stage, scans: list[Batch]) -> tuple[float, float]:
    """Give nanoseconds of CPU a value, and the share of the values that passed."""
    passed = 0
    begin = time.process_time()
    for scan in scans:
        out = stage.apply(scan)
        passed += 0 if out is None else out.samples
    spent = time.process_time() - begin
    return spent / SCANS / TAGS * 1e9, passed / SCANS / TAGS


def of_loop(scans: list[Batch]) -> float:
    """Give nanoseconds of CPU a value of the plain loop."""
    last: dict[int, float] = {}
    passed = 0
    begin = time.process_time()
    for scan in scans:
        for column, value in enumerate(scan.values[0][0].tolist()):
            if abs(value - last.get(column, math.inf)) > ACCURACY:
                last[column] = value
                passed += 1
    assert passed
    return (time.process_time() - begin) / SCANS / TAGS * 1e9


def run() -> list[Figure]:
    """Measure in turns, so that a slow spell of the machine falls on all alike."""
    scans = walk()
    bands, doors, loops, band_shares, door_shares = [], [], [], [], []
    for _ in range(ROUNDS):
        band = deadband.SPEC.build(DeadbandSettings(kind="deadband", threshold=ACCURACY))
        door = swinging_door.SPEC.build(
            SwingingDoorSettings(kind="swinging_door", deviation=ACCURACY)
        )
        ns, share = of_stage(band, scans)
        bands.append(ns)
        band_shares.append(share)
        loops.append(of_loop(scans))
        ns, share = of_stage(door, scans)
        doors.append(ns)
        door_shares.append(share)
    against = "a loop over values"
    return [
        figure("stages.deadband_ns", bands, "ns/value", against=against, others=loops),
        figure("stages.swinging_door_ns", doors, "ns/value", against=against, others=loops),
        figure("stages.deadband_passed", band_shares, "of values"),
        figure("stages.swinging_door_passed", door_shares, "of values"),
    ]
