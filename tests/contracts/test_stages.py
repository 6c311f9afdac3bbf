"""Every installed stage, on anything that a driver may give: found by its entry point.

A stage must not raise, and what it gives must be a batch that the pipeline can journal.
"""

from __future__ import annotations

import math
import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import BatchEncoder, decode_batch
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay.registry import STAGES, Registry
from support.batching import samples, scans
from support.fuzz import examples

if TYPE_CHECKING:
    from forebay.interfaces import Stage

INSTALLED = sorted(entry_points(group=STAGES), key=lambda entry: entry.name)
TAGS = tuple(
    Tag(f"{kind}{scale}", "-", kind, scale=scale, offset=offset)
    for kind in ValueType
    for scale, offset in ((1.0, 0.0), (-0.5, 3.0), (0.0, 1.0))
)
SCHEMA = Schema("press", "all", TAGS)
CODES = [0, 0, 0, 0, int(Quality.UNCERTAIN), int(Quality.BAD_TIMEOUT), 0x80AB_0480]


def values_of(kind: ValueType) -> st.SearchStrategy[Any]:
    if kind is ValueType.STRING:
        return st.sampled_from(["", "a", "\U0001f600" * 3])
    if kind is ValueType.BYTES:
        return st.sampled_from([b"", b"\0", b"\xff" * 9])
    if kind is ValueType.BOOL:
        return st.booleans()
    if kind in (ValueType.FLOAT32, ValueType.FLOAT64):
        numbers = st.floats(width=32) if kind is ValueType.FLOAT32 else st.floats()
        return numbers | st.sampled_from([0.0, 1.0, math.nan, math.inf])
    bounds = np.iinfo(kind.dtype)
    low, high = int(bounds.min), int(bounds.max)
    return st.integers(low, high) | st.sampled_from([low, 0, 1, high])


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    """Some batches of one schema, dense and sparse, at times that jump about; some are empty."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        count = draw(st.integers(0, 4))
        at_s = [draw(st.integers(0, 5000)) / 4 for _ in range(count)]
        row = st.tuples(*(values_of(tag.type) for tag in TAGS))
        rows = [draw(row) for _ in range(count)]
        if draw(st.booleans()):
            quality = [[draw(st.sampled_from(CODES)) for _ in TAGS] for _ in rows]
            batch = scans(SCHEMA, rows, quality if rows else None, at_s)
        else:
            columns = [draw(st.integers(0, len(TAGS) - 1)) for _ in rows]
            batch = samples(
                SCHEMA,
                [(column, row[column]) for column, row in zip(columns, rows, strict=True)],
                [draw(st.sampled_from(CODES)) for _ in rows],
                at_s,
            )
        if draw(st.booleans()):
            boottime_ns = batch.received_ns + draw(st.sampled_from([0, 10**9, -(10**15)]))
            batch = Batch(
                SCHEMA, batch.times_ns, batch.received_ns, batch.values, batch.quality,
                batch.index, boottime_ns,
            )  # fmt: skip
        found.append(batch)
    return found


def stages_of(kind: str) -> list[Stage]:
    """The stages of a kind's own sample."""
    spec = Registry().stage(kind, "tests")
    module = next(entry.module for entry in INSTALLED if entry.name == kind)
    sample = tomllib.loads((files(module) / "sample.toml").read_text(encoding="utf-8"))
    tables = [table for device in sample["devices"].values() for table in device["stages"]]
    return [spec.build(spec.settings.model_validate(table)) for table in tables]


@pytest.mark.parametrize("kind", [entry.name for entry in INSTALLED])
@given(batches())
@examples(30)
def test_what_it_gives_can_be_journaled(kind: str, given_batches: list[Batch]) -> None:
    for stage in stages_of(kind):
        for batch in given_batches:
            out = stage.apply(batch)
            if out is None or not out.rows:
                continue
            _check_shapes(out)
            back = decode_batch(BatchEncoder().encode([out]), out.schema)
            assert [repr(s) for s in back.iter_samples()] == [repr(s) for s in out.iter_samples()]


def _check_shapes(batch: Batch) -> None:
    assert batch.schema.source == "press", "a stage keeps whose data it is"
    assert batch.times_ns.dtype == batch.received_ns.dtype == np.int64
    assert batch.received_ns.shape == batch.times_ns.shape == (batch.rows,)
    assert batch.boottime_ns is None or batch.boottime_ns.shape == (batch.rows,)
    lanes = batch.schema.lanes
    shapes: list[tuple[int, ...]]
    assert len(batch.values) == len(lanes)
    if batch.index is None:
        shapes = [(batch.rows, len(lane.columns)) for lane in lanes]
        wide: tuple[int, ...] = (batch.rows, len(batch.schema.tags))
    else:
        assert batch.index.dtype == np.uint32
        lane_of = batch.schema.lane_of[batch.index]
        shapes = [(int((lane_of == number).sum()),) for number in range(len(lanes))]
        wide = (batch.rows,)
    assert [values.shape for values in batch.values] == shapes
    assert [values.dtype for values in batch.values] == [lane.type.dtype for lane in lanes]
    assert batch.quality is None or batch.quality.shape == wide


def test_a_stage_is_installed() -> None:
    assert INSTALLED
