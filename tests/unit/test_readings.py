"""Batches laid flat, held to `Batch.iter_samples`; notes, instants, values as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import encode_batch
from forebay.errors import JournalCorrupt
from forebay.interfaces import no_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.readings import (
    MAX_SCHEMAS,
    SchemaShelf,
    flat,
    instants,
    json_values,
    note,
    readings,
)
from forebay.testing.records import make_record
from support.batches import SCHEMA, batch_record, damaged, dense, plain, schema_record, sparse


@given(
    rows=st.integers(1, 6),
    seed=st.integers(0, 1000),
    keep=st.none() | st.lists(st.integers(0, 20), min_size=1, max_size=30),
)
def test_flat_is_iter_samples(rows: int, seed: int, keep: list[int] | None) -> None:
    batch = dense(rows, seed)
    if keep is not None:
        batch = sparse(batch, [n % batch.samples for n in keep])
    found = flat(batch)
    expected = list(batch.iter_samples())
    assert [SCHEMA.tags[c] for c in found.columns.tolist()] == [s.tag for s in expected]
    assert found.times_ns[found.scans].tolist() == [s.time_ns for s in expected]
    assert found.received_ns[found.scans].tolist() == [s.received_ns for s in expected]
    assert found.quality.tolist() == [s.quality for s in expected]
    assert found.values() == [s.value for s in expected]
    assert [type(v) for v in found.values()] == [type(s.value) for s in expected]
    told = [json.loads(f'{{"value":{text}}}') for text in json_values(found)]
    assert [one["value"] for one in told] == [plain(s.value) for s in expected]
    assert [one.get("encoding") for one in told] == [
        "base64" if isinstance(s.value, bytes) else None for s in expected
    ]


def test_a_float_that_is_no_number_says_its_name() -> None:
    schema = Schema("d", "g", (Tag("x", "1", ValueType.FLOAT32),))
    values = np.array([[np.nan], [np.inf], [-np.inf], [0.5]], np.float32)
    times = np.zeros(4, np.int64)
    texts = json_values(flat(Batch(schema, times, times, (values,))))
    told = [json.loads(f'{{"value":{text}}}') for text in texts]
    assert told == [
        {"value": None, "float": "NaN"},
        {"value": None, "float": "Infinity"},
        {"value": None, "float": "-Infinity"},
        {"value": 0.5},
    ]


def test_instants_have_nine_decimals() -> None:
    times = np.array([0, 1_790_000_000_123_456_789, -1], np.int64)
    assert instants(times) == [
        "1970-01-01T00:00:00.000000000Z",
        "2026-09-21T14:13:20.123456789Z",
        "1969-12-31T23:59:59.999999999Z",
    ]


def test_the_shelf_knows_what_it_saw_and_asks_for_the_rest() -> None:
    asked: list[int] = []

    def find(schema_id: int) -> Schema:
        asked.append(schema_id)
        if schema_id == SCHEMA.id:
            return SCHEMA
        raise KeyError(schema_id)

    shelf, record = SchemaShelf(find), batch_record(2)
    assert shelf.of(record) is SCHEMA
    assert shelf.of(record) is SCHEMA
    assert asked == [SCHEMA.id]
    fresh = SchemaShelf(find)
    assert fresh.put(schema_record(1)) == SCHEMA
    assert fresh.of(record) == SCHEMA
    assert asked == [SCHEMA.id]
    for n in range(MAX_SCHEMAS):
        other = replace(SCHEMA, group=f"g{n}")
        fresh.put(schema_record(1, other))
    fresh.of(record)
    assert asked == [SCHEMA.id] * 2, "the shelf is bounded"
    other = replace(SCHEMA, source="unknown")
    batch = replace(dense(1, 1), schema=other)
    with pytest.raises(KeyError):
        fresh.of(make_record(1, encode_batch([batch])))


def test_what_is_damaged_is_told() -> None:
    record = damaged(batch_record(1))
    shelf = SchemaShelf(no_schema)
    with pytest.raises(JournalCorrupt):
        shelf.of(record)
    with pytest.raises(JournalCorrupt):
        readings(record, SCHEMA)
    with pytest.raises(JournalCorrupt):
        shelf.put(damaged(schema_record(1)))


def test_records_without_more_to_say_have_no_note() -> None:
    assert note(batch_record(1)) is None
    assert note(schema_record(1)) is None
    assert note(replace(batch_record(1), thinned=5, revision=2)) == {
        "kind": "thinned",
        "from_ns": batch_record(1).time_min_ns,
        "to_ns": batch_record(1).time_max_ns,
        "samples": 5,
        "left": 24,
        "revision": 2,
    }
