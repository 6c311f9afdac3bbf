"""The server's decoder against the agent's encoder: two readings of batch.proto, written apart."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from forebay import columnar, model
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.columns import MAX_RAW_BYTES
from forebay_fleet.decode import (
    Series,
    check_batch,
    decode_batch,
    decode_schema,
    parse,
)
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = st.integers(-(1 << 61), 1 << 61)
QUALITIES = st.sampled_from([0, 0x4090_0000, 0x8031_0000, 0xFFFF_FFFF])


def elements(kind: ValueType) -> st.SearchStrategy[Any]:
    if kind is ValueType.STRING:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if kind is ValueType.BYTES:
        return st.binary(max_size=12)
    if kind is ValueType.BOOL:
        return st.booleans()
    if kind in {ValueType.FLOAT32, ValueType.FLOAT64}:
        return st.floats(width=32 if kind is ValueType.FLOAT32 else 64)
    info = np.iinfo(kind.dtype)
    return st.integers(int(info.min), int(info.max))


def array(draw: st.DrawFn, kind: ValueType, shape: tuple[int, ...]) -> NDArray[Any]:
    count = math.prod(shape)
    out = np.empty(count, kind.dtype)
    out[:] = draw(st.lists(elements(kind), min_size=count, max_size=count))
    return out.reshape(shape)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    kinds = draw(st.lists(st.sampled_from(list(ValueType)), min_size=1, max_size=8))
    tags = [Tag(f"t{i}", f"a{i}", kind, "bar", 0.1, -3.0) for i, kind in enumerate(kinds)]
    schema = Schema("press", "fast", tuple(tags))
    rows, n = draw(st.integers(1, 5)), len(kinds)
    times = array(draw, ValueType.INT64, (rows,)) >> 2
    received = times + draw(st.integers(0, 1 << 40))
    if draw(st.booleans()):
        shape: tuple[int, ...] = (rows, n)
        values = tuple(array(draw, lane.type, (rows, len(lane.columns))) for lane in schema.lanes)
        index = None
    else:
        shape = (rows,)
        index = np.array(draw(st.lists(st.integers(0, n - 1), min_size=rows, max_size=rows)), "u4")
        values = tuple(
            array(draw, lane.type, (int(np.isin(index, lane.columns).sum()),))
            for lane in schema.lanes
        )
    quality = None
    if draw(st.booleans()):
        count = math.prod(shape)
        codes = draw(st.lists(QUALITIES, min_size=count, max_size=count))
        quality = np.array(codes, np.uint32).reshape(shape)
    return Batch(schema, times, received, values, quality, index)


def expected(batch: Batch, column: int) -> list[tuple[int, int, Any, int]]:
    """One column's raw samples, picked one by one from the agent's own walk over a batch."""
    raw = Schema(
        batch.schema.source,
        batch.schema.group,
        tuple(Tag(t.name, t.address, t.type) for t in batch.schema.tags),
    )
    good = Batch(raw, batch.times_ns, batch.received_ns, batch.values, None, batch.index)
    name = batch.schema.tags[column].name
    qualities = [s.quality for s in batch.iter_samples() if s.tag.name == name]
    samples = [s for s in good.iter_samples() if s.tag.name == name]
    return [(s.time_ns, s.received_ns, s.value, q) for s, q in zip(samples, qualities, strict=True)]


def flat(series: Series) -> list[tuple[int, int, Any, int]]:
    return list(zip(*(part.tolist() for part in series), strict=True))


@given(batches())
def test_reads_what_the_agent_writes(batch: Batch) -> None:
    schema = decode_schema(columnar.encode_schema(batch.schema))
    view = decode_batch(columnar.encode_batch([batch]), schema)
    assert view.samples == batch.samples
    for column in range(len(batch.schema.tags)):
        got, wanted = flat(view.series(column)), expected(batch, column)
        assert repr(got) == repr(wanted)  # repr: NaN equals itself, -0.0 is not 0.0, 1 is not True


@given(batches(), st.data())
def test_damage_is_a_decoding_error_and_nothing_else(batch: Batch, data: st.DataObject) -> None:
    schema = decode_schema(columnar.encode_schema(batch.schema))
    payload = bytearray(columnar.encode_batch([batch]))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodingError):
        decode_batch(bytes(payload), schema)


@given(st.binary(max_size=200))
def test_garbage_is_a_decoding_error_and_nothing_else(payload: bytes) -> None:
    with contextlib.suppress(DecodingError):
        decode_schema(payload)
    with contextlib.suppress(DecodingError):
        check_batch(parse(pb.Batch, payload))


def plain(transform: int, value_type: int, data: bytes, rows: int) -> pb.Batch:
    """A dense batch of one column, made by hand from the words of batch.proto."""
    times = np.zeros(rows, "<i8").tobytes()
    message = pb.Batch(schema_id=7, rows=rows, base_time_ns=1000, compression=pb.NONE)
    message.columns.add(role=pb.TIME, type=pb.INT64, transform=pb.PLAIN, bytes=len(times))
    message.columns.add(role=pb.RECEIVED, type=pb.INT64, transform=pb.PLAIN, bytes=len(times))
    message.columns.add(role=pb.VALUES, type=value_type, transform=transform, bytes=len(data))
    message.data = times + times + data
    message.raw_bytes = len(message.data)
    return message


def one_tag(value_type: int) -> Any:
    message = pb.Schema(id=7, source="press", group="fast")
    message.tags.add(name="t", type=value_type, scale=1.0)
    return decode_schema(message.SerializeToString())


@pytest.mark.parametrize(
    ("transform", "value_type", "data", "values"),
    [
        (pb.PLAIN, pb.INT16, "0100 ffff 0300", [1, -1, 3]),
        (pb.SHUFFLE, pb.UINT16, "010203 000001", [1, 2, 0x103]),
        # Row 0 is 5, zigzag 10; then -1 (1), +1 (2): planes of low bytes, then of high bytes.
        (pb.DELTA, pb.INT16, "0a0102 000000", [5, 4, 5]),
        # Modulo 2^8: 250 as signed is -6, zigzag 11; +10 is zigzag 20.
        (pb.DELTA, pb.UINT8, "0b14", [250, 4]),
        (pb.STRINGS, pb.STRING, "02000000 00000000 c3a4", ["ä", ""]),
        (pb.PLAIN, pb.BOOL, "0100", [True, False]),
    ],
)
def test_transforms_byte_by_byte(
    transform: int, value_type: int, data: str, values: list[Any]
) -> None:
    message = plain(transform, value_type, bytes.fromhex(data), len(values))
    view = decode_batch(message.SerializeToString(), one_tag(value_type))
    assert view.series(0).values.tolist() == values
    assert view.series(0).times_ns.tolist() == [1000] * len(values)


@pytest.mark.parametrize(
    ("value_type", "exponent", "product", "width", "data", "values"),
    [
        # 5, then 4, then -1: zigzag of 5, -1, -5 behind the mark of the only column.
        (pb.FLOAT64, 1, False, 1, "01 0a0109", [0.5, 0.4, -0.1]),
        (pb.FLOAT64, 1, True, 1, "01 06", [3 * 0.1]),
        (pb.FLOAT32, 2, False, 2, "01 0002 0200", [2.56, 2.57]),
        # The mark says bits: those of 1.0, then of the next float64, as DELTA of 8 bytes.
        (
            pb.FLOAT64,
            0,
            False,
            1,
            "00 0002 0000 0000 0000 0000 0000 e000 7f00",
            [1.0, 1.0 + 2**-52],
        ),
    ],
)
def test_decimals_byte_by_byte(
    value_type: int,
    exponent: int,
    product: bool,  # noqa: FBT001 - a word of the format
    width: int,
    data: str,
    values: list[float],
) -> None:
    message = plain(pb.DECIMAL, value_type, bytes.fromhex(data), len(values))
    decimal = pb.Decimal(exponent=exponent, product=product, width=width)
    message.columns[2].decimal.CopyFrom(decimal)
    view = decode_batch(message.SerializeToString(), one_tag(value_type))
    wanted = np.array(values, view.series(0).values.dtype)
    assert view.series(0).values.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("decimal", "data"),
    [
        (pb.Decimal(width=1), "01 00"),
        (pb.Decimal(width=1), "02 0000"),
        (pb.Decimal(width=1), ""),
        (pb.Decimal(width=3), "01 000000 000000"),
        (pb.Decimal(width=0), "01"),
        (pb.Decimal(width=8), "01 0000000000000000 0000000000000000"),
        (pb.Decimal(width=1, exponent=10), "01 0000"),
        (pb.Decimal(width=1), "00 0000"),
    ],
)
def test_decimals_that_cannot_be(decimal: pb.Decimal, data: str) -> None:
    message = plain(pb.DECIMAL, pb.FLOAT32, bytes.fromhex(data), 2)
    message.columns[2].decimal.CopyFrom(decimal)
    with pytest.raises(DecodingError):
        decode_batch(message.SerializeToString(), one_tag(pb.FLOAT32))


@pytest.mark.parametrize(
    ("transform", "value_type", "data"),
    [
        (pb.PLAIN, pb.INT16, "010000"),
        (pb.STRINGS, pb.INT16, "01000000"),
        (99, pb.INT16, "01000000"),
        (pb.DECIMAL, pb.INT16, "01000000"),
        (pb.PLAIN, pb.STRING, "00000000"),
        (pb.STRINGS, pb.STRING, "0000"),
        (pb.STRINGS, pb.STRING, "01000000 ffffffff 00"),
        (pb.STRINGS, pb.STRING, "01000000 00000000 ff"),
    ],
)
def test_columns_that_cannot_be(transform: int, value_type: int, data: str) -> None:
    message = plain(transform, value_type, bytes.fromhex(data), 2)
    with pytest.raises(DecodingError):
        decode_batch(message.SerializeToString(), one_tag(value_type))


def test_a_small_frame_cannot_ask_for_much_memory() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    message = plain(pb.PLAIN, pb.UINT8, bytes(1), 1)
    message.compression, message.data = pb.ZSTD, bomb
    with pytest.raises(DecodingError, match="size"):
        decode_batch(message.SerializeToString(), one_tag(pb.UINT8))
    message.columns[2].bytes = message.raw_bytes = MAX_RAW_BYTES + 1
    with pytest.raises(DecodingError, match="limit"):
        check_batch(message)


def test_a_frame_that_hides_its_size_is_cut_off() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    message = plain(pb.PLAIN, pb.UINT8, bytes(1), 1)
    message.compression, message.data = pb.ZSTD, bomb
    with pytest.raises(DecodingError):
        decode_batch(message.SerializeToString(), one_tag(pb.UINT8))


def test_ten_thousand_tags() -> None:
    rng = np.random.default_rng(1)
    kinds = [ValueType.FLOAT32, ValueType.INT16, ValueType.BOOL, ValueType.UINT64]
    tags = tuple(Tag(f"t{i}", f"a{i}", kinds[i % 4]) for i in range(10_000))
    schema = Schema("line", "all", tags)
    rows = 3
    values = tuple(
        rng.integers(0, 2, (rows, len(lane.columns))).astype(lane.type.dtype)
        for lane in schema.lanes
    )
    times = np.arange(rows, dtype=np.int64)
    batch = Batch(schema, times, times + 5, values)
    view = decode_batch(
        columnar.encode_batch([batch]), decode_schema(columnar.encode_schema(schema))
    )
    assert view.samples == 30_000
    for column in (0, 1, 2, 3, 9_998, 9_999):
        assert flat(view.series(column)) == expected_fast(batch, column)


def expected_fast(batch: Batch, column: int) -> list[tuple[int, int, Any, int]]:
    lane = batch.schema.lanes[batch.schema.lane_of[column]]
    place = int(np.flatnonzero(lane.columns == column)[0])
    values = batch.values[batch.schema.lane_of[column]][:, place].tolist()
    return [
        (t, t + 5, value, model.Quality.GOOD)
        for t, value in zip(batch.times_ns.tolist(), values, strict=True)
    ]
