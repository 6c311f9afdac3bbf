"""What goes into a payload comes out of it, and nothing else does."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forebay._proto import batch_pb2 as pb
from forebay.columnar import (
    decode_anchor,
    decode_batch,
    decode_gap,
    decode_schema,
    encode_anchor,
    encode_batch,
    encode_gap,
    encode_schema,
    peek_schema_id,
)
from forebay.errors import JournalCorrupt
from forebay.model import Anchor, Batch, ClockState, Gap, GapCause, Schema, Tag, ValueType
from forebay.pipeline.split import split
from forebay.transforms import MAX_RAW_BYTES
from support.fuzz import examples

TYPES = list(ValueType)


def make_schema(types: list[ValueType]) -> Schema:
    return Schema(
        "press",
        "fast",
        tuple(Tag(f"t{i}", f"holding:{i}", t, "bar", 0.5, 1.0) for i, t in enumerate(types)),
    )


def column(draw: st.DrawFn, kind: ValueType, shape: tuple[int, ...]) -> np.ndarray:
    if kind is ValueType.STRING:
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
        return draw(hnp.arrays(object, shape, elements=text, fill=st.just("")))
    if kind is ValueType.BYTES:
        return draw(hnp.arrays(object, shape, elements=st.binary(max_size=9), fill=st.just(b"")))
    return draw(
        hnp.arrays(
            kind.dtype,
            shape,
            elements=hnp.from_dtype(kind.dtype, allow_nan=True),
            fill=st.nothing(),
        )
    )


@st.composite
def dense(draw: st.DrawFn) -> list[Batch]:
    schema = make_schema(draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=9)))
    batches = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.integers(1, 4))
        times = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 2**61)))
        values = tuple(column(draw, lane.type, (rows, len(lane.columns))) for lane in schema.lanes)
        quality = draw(st.none() | hnp.arrays(np.uint32, (rows, len(schema.tags))))
        batches.append(Batch(schema, times, times + 7, values, quality))
    return batches


@st.composite
def sparse(draw: st.DrawFn) -> list[Batch]:
    schema = make_schema(draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=9)))
    batches = []
    for _ in range(draw(st.integers(1, 3))):
        index = draw(
            hnp.arrays(np.uint32, st.integers(0, 12), elements=st.integers(0, len(schema.tags) - 1))
        )
        times = draw(hnp.arrays(np.int64, len(index), elements=st.integers(-(2**40), 2**61)))
        counts = [
            int(np.count_nonzero(schema.lane_of[index] == n)) for n in range(len(schema.lanes))
        ]
        values = tuple(
            column(draw, lane.type, (n,)) for lane, n in zip(schema.lanes, counts, strict=True)
        )
        quality = draw(st.none() | hnp.arrays(np.uint32, (len(index),)))
        batches.append(Batch(schema, times, times + 3, values, quality, index))
    return batches


def bits(array: np.ndarray) -> object:
    return array.tolist() if array.dtype == object else array.tobytes()


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays)


def zeros(batch: Batch) -> np.ndarray:
    shape = (batch.rows,) if batch.index is not None else (batch.rows, len(batch.schema.tags))
    return np.zeros(shape, np.uint32) if batch.quality is None else batch.quality


@given(dense() | sparse())
@examples(300)
def test_round_trip_is_exact_to_the_bit(batches: list[Batch]) -> None:
    schema = batches[0].schema
    payload = encode_batch(batches)
    assert peek_schema_id(payload) == schema.id
    out = decode_batch(payload, schema)
    assert bits(out.times_ns) == bits(joined([b.times_ns for b in batches]))
    assert bits(out.received_ns) == bits(joined([b.received_ns for b in batches]))
    for lane in range(len(schema.lanes)):
        assert bits(out.values[lane]) == bits(joined([b.values[lane] for b in batches]))
    assert (out.quality is None) == all(b.quality is None for b in batches)
    if out.quality is not None:
        assert bits(out.quality) == bits(joined([zeros(b) for b in batches]))
    if batches[0].index is not None:
        assert out.index is not None
        assert bits(out.index) == bits(joined([b.index for b in batches if b.index is not None]))
    assert out.samples == sum(b.samples for b in batches)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("back_ns", [10 * 365 * 86_400 * 10**9, 1_800_000_000 * 10**9, 2**62])
def test_times_may_go_back_by_years_within_a_batch(back_ns: int, sparse: bool) -> None:  # noqa: FBT001 - a column of the table
    schema = make_schema([ValueType.INT32])
    now_ns = 1_800_000_000 * 10**9
    times = np.array([now_ns, now_ns - back_ns, now_ns + 1, now_ns - back_ns], np.int64)
    received = times[::-1].copy()
    values = np.arange(4, dtype=np.int32)
    index = np.zeros(4, np.uint32) if sparse else None
    batch = Batch(schema, times, received, (values if sparse else values[:, None],), None, index)
    found = decode_batch(encode_batch([batch]), schema)
    assert found.times_ns.tolist() == times.tolist()
    assert found.received_ns.tolist() == received.tolist()
    parts = list(split(batch, 1))
    assert [t for part in parts for t in part.times_ns.tolist()] == times.tolist()


@given(st.binary(max_size=400))
@examples(300)
def test_garbage_is_refused_with_a_typed_error(payload: bytes) -> None:
    schema = make_schema([ValueType.FLOAT32])
    for decode in (
        lambda: decode_batch(payload, schema),
        lambda: decode_schema(payload),
        lambda: decode_gap(payload),
    ):
        with contextlib.suppress(JournalCorrupt):
            decode()


@given(dense() | sparse(), st.data())
@examples(200)
def test_one_flipped_bit_raises_only_typed_errors(
    batches: list[Batch], data: st.DataObject
) -> None:
    payload = bytearray(encode_batch(batches))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(JournalCorrupt):
        decode_batch(bytes(payload), batches[0].schema)


def test_another_schema_is_refused() -> None:
    schema = make_schema([ValueType.INT16])
    one = np.array([1], np.int64)
    payload = encode_batch([Batch(schema, one, one, (np.array([[5]], np.int16),))])
    with pytest.raises(JournalCorrupt, match="needs schema"):
        decode_batch(payload, make_schema([ValueType.INT16, ValueType.INT16]))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    schema = make_schema([ValueType.INT16])
    message = pb.Batch(
        schema_id=schema.id, rows=1, compression=pb.ZSTD, raw_bytes=MAX_RAW_BYTES + 1, data=b"x"
    )
    with pytest.raises(JournalCorrupt, match="would decompress"):
        decode_batch(message.SerializeToString(), schema)


def test_different_schemas_are_not_joined() -> None:
    one = np.array([1], np.int64)
    first = Batch(make_schema([ValueType.INT16]), one, one, (np.array([[5]], np.int16),))
    second = Batch(make_schema([ValueType.INT32]), one, one, (np.array([[5]], np.int32),))
    with pytest.raises(ValueError, match="cannot be one"):
        encode_batch([first, second])


def test_schema_gap_and_anchor_round_trip() -> None:
    schema = make_schema(TYPES)
    assert decode_schema(encode_schema(schema)) == schema
    assert decode_schema(encode_schema(schema)).id == schema.id
    for gap in (
        Gap(GapCause.RING_OVERFLOW, 5, 9, 1234, "press"),
        Gap(GapCause.UNCLEAN_SHUTDOWN, 5, 9, None),
        Gap(GapCause.RETENTION_AGE, -5, 9, 0, "", 77, 3, 8),
    ):
        assert decode_gap(encode_gap(gap)) == gap
    anchor = Anchor("boot", 1, 2, ClockState.SYNCED, 1500)
    assert decode_anchor(encode_anchor(anchor)) == anchor


def test_a_schema_that_was_altered_is_refused() -> None:
    message = pb.Schema.FromString(encode_schema(make_schema([ValueType.INT16])))
    message.tags[0].scale = 2.0
    with pytest.raises(JournalCorrupt, match="does not give its id"):
        decode_schema(message.SerializeToString())


def test_samples_are_scaled_and_bad_ones_have_no_value() -> None:
    schema = make_schema([ValueType.INT16, ValueType.STRING])
    times = np.array([10, 20], np.int64)
    values = (np.array([[4], [0]], np.int16), np.array([["a"], ["b"]], object))
    quality = np.array([[0, 0], [0x80310000, 0]], np.uint32)
    got = [
        (s.tag.name, s.time_ns, s.value, s.quality)
        for s in Batch(schema, times, times, values, quality).iter_samples()
    ]
    assert got == [
        ("t0", 10, 3.0, 0),
        ("t1", 10, "a", 0),
        ("t0", 20, None, 0x80310000),
        ("t1", 20, "b", 0),
    ]


def test_blobs_need_their_lengths() -> None:
    schema = Schema("camera", "bulk", (Tag("frame", "", ValueType.BYTES),))
    blobs = np.array([[b"\x00\xff"], [b""], [bytes(range(256)) * 4096]], object)
    times = np.arange(3, dtype=np.int64)
    batch = Batch(schema, times, times, (blobs,))
    assert batch.nbytes == 2 * 24 + 2 + (1 << 20) + 12
    payload = encode_batch([batch])
    assert decode_batch(payload, schema).values[0].tolist() == blobs.tolist()
    message = pb.Batch.FromString(payload)
    message.columns[-1].transform = pb.PLAIN
    with pytest.raises(JournalCorrupt, match="a transform for numbers"):
        decode_batch(message.SerializeToString(), schema)
    with pytest.raises(TypeError):
        encode_batch([replace(batch, values=(np.zeros((3, 1), object),))])
