"""Values out of known bytes, against `struct`: every type in every byte order, wherever it lies."""

from __future__ import annotations

import math
import random
import struct
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.modbus.decode import RUN_MIN, VOID_BYTES, Cell, Decoder
from forebay.drivers.modbus.tag import Order
from forebay.model import Quality, Schema, Tag, ValueType

ORDERS: tuple[Order, ...] = get_args(Order)
CODES = {
    ValueType.INT16: "h",
    ValueType.UINT16: "H",
    ValueType.INT32: "i",
    ValueType.UINT32: "I",
    ValueType.INT64: "q",
    ValueType.UINT64: "Q",
    ValueType.FLOAT32: "f",
    ValueType.FLOAT64: "d",
}


def on_the_wire(big_endian: bytes, order: Order) -> bytes:
    """Lay big-endian bytes into registers in `order`, by its definition and not by any shortcut."""
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    return b"".join(words)


def schema(*kinds: ValueType) -> Schema:
    return Schema("d", "g", tuple(Tag(f"t{i}", str(i), kind) for i, kind in enumerate(kinds)))


def decode(kinds: list[ValueType], cells: list[Cell | None], image: bytes) -> tuple[list[Any], Any]:
    """Give each column's value and the marks."""
    of = schema(*kinds)
    whole = bytearray(image) + bytes(VOID_BYTES)
    values, marks = Decoder(of, cells, len(whole)).decode(whole)
    row: list[Any] = [None] * len(kinds)
    for lane, got in zip(of.lanes, values, strict=True):
        assert got.shape == (1, len(lane.columns))
        assert got.dtype == lane.type.dtype
        for place, column in enumerate(lane.columns):
            row[column] = got[0, place]
    return row, marks


@pytest.mark.parametrize(
    ("order", "wire"),
    [("ABCD", "40490fdb"), ("CDAB", "0fdb4049"), ("BADC", "4940db0f"), ("DCBA", "db0f4940")],
)
def test_pi_in_every_order(order: Order, wire: str) -> None:
    row, _ = decode([ValueType.FLOAT32], [Cell(0, 0, order, 0, single=False)], bytes.fromhex(wire))
    assert row[0] == np.float32(math.pi)


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("ABCD", "0102030405060708"),
        ("CDAB", "0708050603040102"),
        ("BADC", "0201040306050807"),
        ("DCBA", "0807060504030201"),
    ],
)
def test_eight_bytes_in_every_order(order: Order, wire: str) -> None:
    row, _ = decode([ValueType.UINT64], [Cell(0, 0, order, 0, single=False)], bytes.fromhex(wire))
    assert row[0] == 0x0102030405060708


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CODES)),
            st.sampled_from(ORDERS),
            st.binary(min_size=8, max_size=8),
            st.integers(0, 3),
            st.sampled_from([1, 1, 1, RUN_MIN - 1, RUN_MIN, RUN_MIN + 9]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 2**32),
)
def test_decoding_agrees_with_struct(
    runs: list[tuple[ValueType, Order, bytes, int, int]], seed: int
) -> None:
    rng = random.Random(seed)
    image, kinds, cells, expected = bytearray(), [], [], []
    for kind, order, first, hole, count in runs:
        image += rng.randbytes(hole * 2)
        size = struct.calcsize(CODES[kind])
        for number in range(count):
            raw = first[:size] if number == 0 else rng.randbytes(size)
            kinds.append(kind)
            cells.append(Cell(len(image), 0, order, 0, single=False))
            expected.append(struct.unpack(">" + CODES[kind], raw)[0])
            image += on_the_wire(raw, order)
    shuffled = list(range(len(kinds)))
    if rng.random() < 0.5:
        rng.shuffle(shuffled)
    row, marks = decode([kinds[i] for i in shuffled], [cells[i] for i in shuffled], bytes(image))
    doubted = {int(c) for mark in marks for c in mark.columns}
    for column, (got, i) in enumerate(zip(row, shuffled, strict=True)):
        want = expected[i]
        assert got == want or (math.isnan(want) and math.isnan(got))
        assert (column in doubted) == (isinstance(want, float) and not math.isfinite(want))
    assert all(mark.status == Quality.UNCERTAIN for mark in marks)


@given(
    st.binary(min_size=2, max_size=64).filter(lambda b: len(b) % 2 == 0),
    st.data(),
    st.sampled_from(ORDERS),
)
def test_bits_of_coils_and_registers(image: bytes, data: st.DataObject, order: Order) -> None:
    coils = data.draw(st.lists(st.integers(0, len(image) * 8 - 1), min_size=1))
    bits = data.draw(
        st.lists(st.tuples(st.integers(0, len(image) // 2 - 1), st.integers(0, 15)), min_size=1)
    )
    cells: list[Cell | None] = [Cell(0, coil, "ABCD", 0, single=True) for coil in coils]
    cells += [Cell(register * 2, bit, order, 0, single=False) for register, bit in bits]
    row, marks = decode([ValueType.BOOL] * len(cells), cells, image)
    packed = int.from_bytes(image, "little")
    byte_order = ">" if order in {"ABCD", "CDAB"} else "<"
    registers = struct.unpack(f"{byte_order}{len(image) // 2}H", image)
    assert row[: len(coils)] == [bool(packed >> coil & 1) for coil in coils]
    assert row[len(coils) :] == [bool(registers[r] >> b & 1) for r, b in bits]
    assert not marks


@pytest.mark.parametrize(
    ("wire", "order", "length", "text"),
    [
        (b"PRESS 7\0", "ABCD", 8, "PRESS 7"),
        (b"RPSE S\x007", "BADC", 8, "PRESS 7"),
        (b"RPSE S\x007", "DCBA", 8, "PRESS 7"),
        (b"PRESS   ", "CDAB", 8, "PRESS"),
        (b"AB\0XYZ", "ABCD", 6, "AB"),
        (b"ABCDEF", "ABCD", 3, "ABC"),
        (b"BADCFE", "BADC", 3, "ABC"),
        ("Öl °C".encode() + b"\0", "ABCD", 8, "Öl °C"),
        (b"\0\0\0\0", "ABCD", 4, ""),
        (b"  A ", "ABCD", 4, "  A"),
    ],
)
def test_strings(wire: bytes, order: Order, length: int, text: str) -> None:
    row, marks = decode([ValueType.STRING], [Cell(0, 0, order, length, single=False)], wire)
    assert row == [text]
    assert marks == []


def test_a_string_that_is_not_utf8_is_a_decoding_error_and_no_value() -> None:
    kinds = [ValueType.STRING, ValueType.STRING]
    cells = [Cell(0, 0, "ABCD", 4, single=False), Cell(4, 0, "ABCD", 4, single=False)]
    row, marks = decode(kinds, list(cells), b"good\xff\xfe\x00A")
    assert row == ["good", ""]
    assert [(m.columns.tolist(), m.status) for m in marks] == [([1], Quality.BAD_DECODING_ERROR)]


def test_what_nothing_asks_for_is_zero() -> None:
    kinds = [ValueType.FLOAT64, ValueType.BOOL, ValueType.STRING, ValueType.INT16]
    row, marks = decode(kinds, [None] * 4, b"\xff" * 16)
    assert row == [0.0, False, "", 0]
    assert marks == []


def test_values_outlive_the_image() -> None:
    of = schema(*[ValueType.UINT16] * RUN_MIN)
    cells: list[Cell | None] = [Cell(i * 2, 0, "ABCD", 0, single=False) for i in range(RUN_MIN)]
    image = bytearray(b"\0\1" * RUN_MIN + bytes(VOID_BYTES))
    values, _ = Decoder(of, cells, len(image)).decode(image)
    image[:] = bytes(len(image))
    assert values[0].tolist() == [[1] * RUN_MIN]
