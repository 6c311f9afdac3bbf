"""Every column comes back bit by bit, by two readings of batch.proto, and decimals become short."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forebay._proto import batch_pb2 as pb
from forebay.errors import JournalCorrupt
from forebay.model import ValueType
from forebay.transforms import MAX_RAW_BYTES, Coded, Scratch, backward, forward
from forebay_fleet import columns
from forebay_fleet._proto import batch_pb2 as fleet_pb
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS = [ValueType.FLOAT32, ValueType.FLOAT64]
NUMBER = {ValueType.FLOAT32: pb.FLOAT32, ValueType.FLOAT64: pb.FLOAT64}
TRANSFORMS = [pb.PLAIN, pb.SHUFFLE, pb.DELTA, pb.DECIMAL, pb.STRINGS]
SIGNALLING_NAN = {4: 0x7F80_0001, 8: 0x7FF0_0000_0000_0001}


def special(kind: ValueType) -> list[float]:
    """Values that decimals could get wrong: signs of zero, payloads, ends of every range."""
    info = np.finfo(kind.dtype)
    edge = 2.0**24 if kind is ValueType.FLOAT32 else 2.0**53
    ends = [edge - 1, edge, edge + 2, 2.0**31, -(2.0**31), 2.0**63, -(2.0**63)]
    return [0.0, -0.0, np.inf, -np.inf, np.nan, float(info.max), float(info.tiny), 0.1, *ends]


@st.composite
def floats(draw: st.DrawFn) -> tuple[ValueType, NDArray[Any]]:
    """A lane of columns that are rounded in several ways, or are not, with a few odd values."""
    kind = draw(st.sampled_from(FLOATS))
    rows, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    exponent = draw(st.integers(0, 9))
    most = draw(st.sampled_from([9, 1000, 10**6, 2**31]))
    whole = draw(hnp.arrays(np.int64, (rows, width), elements=st.integers(-most, most)))
    out = np.empty((rows, width), kind.dtype)
    for column in range(width):
        form = draw(st.sampled_from(["quotient", "quotient", "product", "coarse", "full"]))
        numbers = whole[:, column].astype(kind.dtype)
        with np.errstate(over="ignore"):
            out[:, column] = {
                "quotient": whole[:, column] / 10.0**exponent,
                "product": numbers * kind.dtype.type(10.0**-exponent),
                "coarse": whole[:, column] / 10.0 ** max(exponent - 1, 0),
                "full": np.sqrt(np.abs(whole[:, column]) + 0.7),
            }[form]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, rows - 1)), draw(st.integers(0, width - 1))
        if draw(st.booleans()):
            out[place] = draw(st.sampled_from(special(kind)))
        else:
            size = kind.dtype.itemsize
            out.view(f"<u{size}")[place] = SIGNALLING_NAN[size]
    return kind, out if draw(st.booleans()) else out.reshape(-1)


def said(coded: Coded, kind: ValueType) -> pb.Column:
    return pb.Column(
        role=pb.VALUES,
        type=NUMBER[kind],
        transform=coded.transform,
        bytes=len(coded.data),
        decimal=coded.decimal,
    )


def by_the_fleet(data: bytes, column: pb.Column, shape: tuple[int, ...]) -> NDArray[Any]:
    other = fleet_pb.Column.FromString(column.SerializeToString())
    return columns.values(memoryview(data), other, shape)


@given(floats())
def test_floats_come_back_bit_by_bit_from_both_readers(
    lane: tuple[ValueType, NDArray[Any]],
) -> None:
    kind, array = lane
    coded = forward(array, kind, Scratch(), rows_alike=array.ndim > 1)
    column = said(coded, kind)
    assert backward(coded.data, kind, column, array.shape).tobytes() == array.tobytes()
    assert by_the_fleet(coded.data, column, array.shape).tobytes() == array.tobytes()


@given(floats(), st.data())
def test_damage_is_a_typed_error_or_another_value(
    lane: tuple[ValueType, NDArray[Any]], data: st.DataObject
) -> None:
    kind, array = lane
    coded = forward(array, kind, Scratch(), rows_alike=array.ndim > 1)
    column, octets = said(coded, kind), bytearray(coded.data)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        column.transform = data.draw(st.sampled_from(TRANSFORMS))
    column.decimal.width = data.draw(st.sampled_from([1, 2, 4, 8, 3, 0]))
    column.decimal.exponent = data.draw(st.sampled_from([0, 9, 10, 2**32 - 1]))
    shape = data.draw(st.sampled_from([array.shape, (0,), (0, 3), (3, 0), (7,), (2**20, 2**20)]))
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    for part in (bytes(octets), cut):
        with contextlib.suppress(JournalCorrupt):
            backward(part, kind, column, shape)
        with contextlib.suppress(DecodingError):
            by_the_fleet(part, column, shape)


def walk(kind: ValueType, rows: int = 8, width: int = 500) -> NDArray[Any]:
    rng = np.random.default_rng(7)
    steps = rng.normal(0, 0.05, (rows, width))
    return (20 + rng.normal(0, 5, (1, width)) + np.cumsum(steps, axis=0)).astype(kind.dtype)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("dense", [True, False])
def test_rounded_values_are_told_by_two_bytes_at_most(kind: ValueType, dense: bool) -> None:  # noqa: FBT001 - a parameter of the table
    exact = np.round(walk(ValueType.FLOAT64), 2)
    array = (exact if dense else exact.reshape(-1)).astype(kind.dtype)
    coded = forward(array, kind, Scratch(), rows_alike=dense)
    assert coded.transform == pb.DECIMAL
    assert coded.decimal == pb.Decimal(exponent=2, product=False, width=2)
    assert len(coded.data) == 2 * array.size + array.shape[-1]


@pytest.mark.parametrize("kind", FLOATS)
def test_tenths_that_a_plc_has_multiplied_are_told_by_products(kind: ValueType) -> None:
    tenth = kind.dtype.type(0.1)
    array = np.round(walk(ValueType.FLOAT64) * 10).astype(kind.dtype) * tenth
    assert not np.array_equal(array, np.round(array.astype(np.float64), 1).astype(kind.dtype))
    coded = forward(array, kind, Scratch(), rows_alike=True)
    assert coded.decimal == pb.Decimal(exponent=1, product=True, width=2)


@pytest.mark.parametrize("kind", FLOATS)
def test_columns_of_full_precision_beside_rounded_ones_keep_their_bits(kind: ValueType) -> None:
    array = walk(kind)
    array[:, ::2] = np.round(walk(ValueType.FLOAT64)[:, ::2], 2)
    array[3, 4], array[3, 6] = -0.0, np.nan
    coded = forward(array, kind, Scratch(), rows_alike=True)
    assert coded.transform == pb.DECIMAL
    told = np.frombuffer(coded.data, np.uint8, array.shape[1])
    odd = [4, 6, *range(1, array.shape[1], 2)]
    assert not told[odd].any()
    assert told.sum() == array.shape[1] - len(odd)
    assert backward(coded.data, kind, said(coded, kind), array.shape).tobytes() == array.tobytes()


@pytest.mark.parametrize("kind", FLOATS)
def test_values_of_full_precision_differ_by_their_bits(kind: ValueType) -> None:
    coded = forward(walk(kind), kind, Scratch(), rows_alike=True)
    assert (coded.transform, coded.decimal) == (pb.DELTA, None)


def test_a_column_may_not_unpack_to_more_than_a_batch() -> None:
    count = MAX_RAW_BYTES // 8 + 1
    column = pb.Column(type=pb.FLOAT64, transform=pb.DECIMAL, decimal=pb.Decimal(width=1))
    data = b"\1" + bytes(count)
    with pytest.raises(JournalCorrupt, match="too large"):
        backward(data, ValueType.FLOAT64, column, (count, 1))
    with pytest.raises(DecodingError, match="limit"):
        by_the_fleet(data, column, (count, 1))
    largest = np.full((MAX_RAW_BYTES // 8 + 1, 1), 0.5)
    assert forward(largest, ValueType.FLOAT64, Scratch(), rows_alike=True).transform == pb.DELTA
