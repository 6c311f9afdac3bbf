"""Many batches decoded at once are what each of them is alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay import columnar
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay_fleet.decode import SchemaView, decode_batch, decode_schema
from forebay_fleet.errors import DecodingError
from forebay_fleet.values import stacking
from forebay_fleet.values.stacking import read

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = (
    ValueType.FLOAT64,
    ValueType.INT16,
    ValueType.FLOAT64,
    ValueType.STRING,
    ValueType.FLOAT32,
    ValueType.BOOL,
    ValueType.FLOAT64,
    ValueType.UINT64,
)
SCHEMA = Schema("press", "fast", tuple(Tag(f"t{i}", "-", kind) for i, kind in enumerate(TYPES)))
VIEW = decode_schema(columnar.encode_schema(SCHEMA))
EVERY = range(len(TYPES))


def lane(kind: ValueType, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers as machines give them: decimals, beside them some that have no short form."""
    if kind is ValueType.STRING:
        out = np.empty(shape, object)
        out[...] = "lot"
        return out
    if kind in {ValueType.FLOAT64, ValueType.FLOAT32}:
        numbers = np.round(rng.normal(20, 3, shape), 2)
        odd = rng.random(shape) < rng.choice([0.0, 0.3])
        return np.where(odd, rng.normal(size=shape) / 3, numbers).astype(kind.dtype)
    return rng.integers(0, 2 if kind is ValueType.BOOL else 1000, shape).astype(kind.dtype)


def batch(seed: int) -> Batch:
    """A batch of few forms, so that many of them share one."""
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([1, 3, 40]))
    times = 1_790_000_000_000_000_000 + seed * 10**9 + np.arange(rows) * 10**7
    if rng.random() < 0.5:
        shape: tuple[int, ...] = (rows, len(TYPES))
        index = None
        values = tuple(lane(one.type, (rows, len(one.columns)), rng) for one in SCHEMA.lanes)
    else:
        shape = (rows,)
        index = np.sort(rng.integers(0, len(TYPES), rows)).astype(np.uint32)
        rng.shuffle(index)
        values = tuple(
            lane(one.type, (int(np.isin(index, one.columns).sum()),), rng) for one in SCHEMA.lanes
        )
    codes = np.array([0, Quality.BAD_TIMEOUT, Quality.UNCERTAIN], np.uint32)
    quality = rng.choice(codes, shape) if rng.random() < 0.3 else None
    return Batch(SCHEMA, times, times + 5, values, quality, index)


def alone(payloads: Sequence[bytes], column: int) -> list[str]:
    found = []
    for record, payload in enumerate(payloads):
        series = decode_batch(payload, VIEW).series(column)
        found += [
            repr((record, *sample))
            for sample in zip(*(part.tolist() for part in series), strict=True)
        ]
    return sorted(found)


def together(payloads: Sequence[bytes], view: SchemaView = VIEW) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {column: [] for column in EVERY}
    for column, piece in read(payloads, view, list(EVERY)):
        whole = zip(piece.record.tolist(), *(part.tolist() for part in piece[:-1]), strict=True)
        found[column] += [repr(sample) for sample in whole]
    return {column: sorted(samples) for column, samples in found.items()}


@pytest.mark.parametrize("most_bytes", [stacking.MOST_AT_ONCE_BYTES, 700])
def test_all_at_once_is_one_by_one(monkeypatch: pytest.MonkeyPatch, most_bytes: int) -> None:
    monkeypatch.setattr(stacking, "MOST_AT_ONCE_BYTES", most_bytes)
    payloads = [columnar.encode_batch([batch(seed)]) for seed in range(300)]
    found = together(payloads)
    for column in EVERY:
        assert found[column] == alone(payloads, column)


@given(st.integers(0, 200), st.data())
def test_damage_is_a_decoding_error_and_nothing_else(seed: int, data: st.DataObject) -> None:
    payload = columnar.encode_batch([batch(seed)])
    broken = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodingError):
        together([payload, bytes(broken), bytes(broken), payload])


def test_a_batch_of_another_schema_is_refused() -> None:
    other = Schema("press", "slow", SCHEMA.tags)
    view = decode_schema(columnar.encode_schema(other))
    with pytest.raises(DecodingError, match="another schema"):
        together([columnar.encode_batch([batch(1)])], view)
