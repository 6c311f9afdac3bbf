"""Values out of known bytes, and every type in every byte order against a slow reading."""

from __future__ import annotations

import math
import random
import struct
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.modbus.cells import Cell, cell_of
from forebay.drivers.modbus.decode import RUN_MIN, VOID_BYTES, Decoder
from forebay.drivers.modbus.order import Order
from forebay.model import Quality, Schema, Tag, ValueType
from support.modbus import tag
from support.modbus_values import LETTERS, on_the_wire, reading

if TYPE_CHECKING:
    from forebay.drivers.modbus.tag import ModbusTag

ORDERS: tuple[Order, ...] = get_args(Order)
PARTS = [("0", "bool"), ("15", "bool"), ("h", "uint8"), ("l", "int8"), ("3-9", "int16")]
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    *(("holding:0", t, {}) for t in ("int16", "uint16", "int32", "uint32", "int64", "uint64")),
    *(("holding:0", t, {}) for t in ("float32", "float64")),
    *(("holding:0", f"{s}int{n}", {"encoding": "bcd"}) for s in ("", "u") for n in (16, 32, 64)),
    ("holding:0", "uint32", {"encoding": "mod10k"}),
    ("holding:0", "uint64", {"encoding": "mod10k"}),
    ("holding:0", "float32", {"encoding": "float16"}),
    ("holding:0", "int64", {"encoding": "48-bit"}),
    ("holding:0", "uint64", {"encoding": "48-bit"}),
    *((f"holding:0.{part}", kind, {}) for part, kind in PARTS),
    ("holding:0.0-3", "uint8", {}),
    ("holding:0.0-3", "int8", {}),
    ("holding:0.4-15", "uint32", {}),
    ("holding:0.7-7", "int64", {}),
    ("holding:0.0-15", "int16", {}),
    ("holding:0", "string", {"length": 5}),
    ("holding:0", "string", {"length": 8, "encoding": "latin-1"}),
    ("holding:0", "string", {"length": 8, "encoding": "utf-16"}),
]
"""An address, a type and the rest of a row: one of everything that registers can hold."""
FORM = st.sampled_from(FORMS)


def can(row: ModbusTag, order: Order) -> bool:
    return row.misordered(order) is None


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


def decode_tag(row: ModbusTag, order: Order, wire: bytes) -> tuple[Any, int]:
    """Give the value and the quality of one tag whose registers are `wire`."""
    values, marks = decode([row.type], [cell_of(row, order, 0, 0)], wire)
    return values[0], marks[0].status if marks else Quality.GOOD


def same(got: object, want: object) -> bool:
    """Whether two values are one; NaN is itself."""
    if isinstance(want, float) and math.isnan(want):
        return isinstance(got, np.floating) and math.isnan(got)
    return bool(got == want)


@pytest.mark.parametrize(
    ("order", "wire"),
    [("ABCD", "40490fdb"), ("CDAB", "0fdb4049"), ("BADC", "4940db0f"), ("DCBA", "db0f4940")],
)
def test_pi_in_every_order(order: Order, wire: str) -> None:
    value, _ = decode_tag(tag("holding:0", "float32"), order, bytes.fromhex(wire))
    assert value == np.float32(math.pi)


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("ABCD", "0102030405060708"),
        ("CDAB", "0708050603040102"),
        ("BADC", "0201040306050807"),
        ("DCBA", "0807060504030201"),
        ("ABCDEFGH", "0102030405060708"),
        ("GHEFCDAB", "0708050603040102"),
        ("BADCFEHG", "0201040306050807"),
        ("HGFEDCBA", "0807060504030201"),
        ("CDABGHEF", "0304010207080506"),
        ("EFGHABCD", "0506070801020304"),
        ("DCBAHGFE", "0403020108070605"),
        ("FEHGBADC", "0605080702010403"),
    ],
)
@pytest.mark.parametrize("count", [1, RUN_MIN])
def test_eight_bytes_in_every_order(order: Order, wire: str, count: int) -> None:
    cells: list[Cell | None] = [Cell(i * 8, order=order) for i in range(count)]
    row, _ = decode([ValueType.UINT64] * count, cells, bytes.fromhex(wire) * count)
    assert row == [0x0102030405060708] * count


@pytest.mark.parametrize(
    ("order", "wire"),
    [("ABCD", "010203040506"), ("CDAB", "050603040102"),
     ("BADC", "020104030605"), ("DCBA", "060504030201")],
)  # fmt: skip
def test_three_registers_in_every_order(order: Order, wire: str) -> None:
    row = tag("holding:0", "uint64", encoding="48-bit")
    assert decode_tag(row, order, bytes.fromhex(wire)) == (0x010203040506, Quality.GOOD)


@pytest.mark.parametrize(
    ("address", "kind", "encoding", "wire", "value"),
    [
        ("holding:0", "int64", "48-bit", "ffff ffff fffe", -2),
        ("holding:0", "float32", "float16", "c500", -5.0),
        ("holding:0", "float32", "float16", "0001", 2.0**-24),
        ("holding:0", "uint16", "bcd", "0248", 248),
        ("holding:0", "uint16", "bcd", "9999", 9999),
        ("holding:0", "uint32", "bcd", "1234 5678", 12_345_678),
        ("holding:0", "uint64", "bcd", "9999 9999 9999 9999", 9_999_999_999_999_999),
        ("holding:0", "int16", "bcd", "f248", -248),
        ("holding:0", "int16", "bcd", "0999", 999),
        ("holding:0", "int32", "bcd", "f999 9999", -9_999_999),
        ("holding:0", "int64", "bcd", "f000 0000 0000 0000", 0),
        ("holding:0", "uint32", "mod10k", "04d2 162e", 12_345_678),
        ("holding:0", "uint64", "mod10k", "270f 270f 270f 270f", 9_999_999_999_999_999),
        ("holding:0.h", "int8", None, "fe01", -2),
        ("holding:0.l", "uint8", None, "fe81", 0x81),
        ("holding:0.4-7", "uint8", None, "00f0", 15),
        ("holding:0.4-7", "int8", None, "00f0", -1),
        ("holding:0.4-15", "int16", None, "8000", -2048),
        ("holding:0.0-15", "uint16", None, "fedc", 0xFEDC),
    ],
)
def test_known_values_of_special_forms(
    address: str, kind: str, encoding: str | None, wire: str, value: float
) -> None:
    row = tag(address, kind, encoding=encoding)
    assert decode_tag(row, "ABCD", bytes.fromhex(wire)) == (value, Quality.GOOD)


@pytest.mark.parametrize(
    ("kind", "encoding", "wire"),
    [
        ("uint16", "bcd", "000a"),
        ("uint16", "bcd", "f000"),
        ("uint32", "bcd", "00a0 0000"),
        ("uint64", "bcd", "0000 0000 0000 00ff"),
        ("int16", "bcd", "8001"),
        ("int16", "bcd", "f00b"),
        ("int32", "bcd", "1000 0000"),
        ("uint32", "mod10k", "2710 0000"),
        ("uint64", "mod10k", "0000 0000 0000 ffff"),
    ],
)
def test_digits_that_are_none_are_a_decoding_error_and_no_value(
    kind: str, encoding: str, wire: str
) -> None:
    row = tag("holding:0", kind, encoding=encoding)
    assert decode_tag(row, "ABCD", bytes.fromhex(wire)) == (0, Quality.BAD_DECODING_ERROR)


def test_a_wrong_digit_costs_its_neighbours_nothing() -> None:
    rows = [tag(f"holding:{i}", "uint16", encoding="bcd") for i in range(3)]
    cells: list[Cell | None] = [cell_of(row, "ABCD", 0, i) for i, row in enumerate(rows)]
    row, marks = decode([r.type for r in rows], cells, bytes.fromhex("0012 00c0 0034"))
    assert row == [12, 0, 34]
    assert [(m.columns.tolist(), m.status) for m in marks] == [([1], Quality.BAD_DECODING_ERROR)]


@given(
    st.lists(
        st.tuples(FORM, st.sampled_from(ORDERS), st.integers(0, 3),
                  st.sampled_from([1, 1, 1, RUN_MIN - 1, RUN_MIN, RUN_MIN + 9])),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 2**32),
)  # fmt: skip
def test_decoding_agrees_with_a_slow_reading(
    runs: list[tuple[tuple[str, str, dict[str, Any]], Order, int, int]], seed: int
) -> None:
    rng = random.Random(seed)
    image, kinds, cells, expected = bytearray(), [], [], []
    for (address, kind, more), order, hole, count in runs:
        row = tag(address, kind, **more)
        if not can(row, order):
            continue
        image += rng.randbytes(hole * 2)
        for _ in range(count):
            wire = plausible(rng, row, order)
            kinds.append(row.type)
            cells.append(cell_of(row, order, 0, len(image) // 2))
            expected.append(reading(row, order, wire))
            image += wire
    shuffled = list(range(len(kinds)))
    if rng.random() < 0.5:
        rng.shuffle(shuffled)
    row_, marks = decode([kinds[i] for i in shuffled], [cells[i] for i in shuffled], bytes(image))
    status = {int(c): mark.status for mark in marks for c in mark.columns}
    for column, (got, i) in enumerate(zip(row_, shuffled, strict=True)):
        value, quality = expected[i]
        assert status.get(column, Quality.GOOD) == quality
        assert value is None or same(got, value)


def plausible(rng: random.Random, row: ModbusTag, order: Order) -> bytes:
    """Give registers for a tag: any bytes, or often such as are a value."""
    size = row.count * 2
    if row.encoding == "bcd" and rng.random() < 0.7:
        digits = "".join(rng.choices("0123456789", k=size * 2 - 1))
        return on_the_wire(bytes.fromhex(rng.choice("0f7") + digits), order)
    if row.encoding == "mod10k" and rng.random() < 0.7:
        words = [rng.choice([0, 9999, rng.randrange(10_000)]) for _ in range(row.count)]
        return on_the_wire(struct.pack(f">{row.count}H", *words), order)
    if row.type is ValueType.STRING and rng.random() < 0.7:
        return bytes(rng.choices(b"AZ \0\x7f\xc3\xa4", k=size))
    return rng.randbytes(size)


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
    cells: list[Cell | None] = [cell_of(tag("coil:0", "bool"), order, 0, coil) for coil in coils]
    cells += [cell_of(tag(f"holding:0.{bit}", "bool"), order, 0, r) for r, bit in bits]
    row, marks = decode([ValueType.BOOL] * len(cells), cells, image)
    packed = int.from_bytes(image, "little")
    byte_order = ">" if LETTERS[order][2] == "AB" else "<"
    registers = struct.unpack(f"{byte_order}{len(image) // 2}H", image)
    assert row[: len(coils)] == [bool(packed >> coil & 1) for coil in coils]
    assert row[len(coils) :] == [bool(registers[r] >> b & 1) for r, b in bits]
    assert not marks


@pytest.mark.parametrize(
    ("wire", "order", "length", "encoding", "text"),
    [
        (b"PRESS 7\0", "ABCD", 8, None, "PRESS 7"),
        (b"RPSE S\x007", "BADC", 8, "utf-8", "PRESS 7"),
        (b"RPSE S\x007", "DCBA", 8, None, "PRESS 7"),
        (b"PRESS   ", "CDAB", 8, None, "PRESS"),
        (b"AB\0XYZ", "ABCD", 6, None, "AB"),
        (b"ABCDEF", "ABCD", 3, None, "ABC"),
        (b"BADCFE", "BADC", 3, None, "ABC"),
        (b"BADCFE", "FEHGBADC", 3, None, "ABC"),
        ("Öl °C".encode() + b"\0", "ABCD", 8, None, "Öl °C"),
        (b"\xd6l \xb0C\0", "ABCD", 6, "latin-1", "Öl °C"),
        (b"\0A\0B\0 \0\0\xd8\0", "ABCD", 10, "utf-16", "AB"),
        (b"A\0B\0\xac\x20", "BADC", 6, "utf-16", "AB€"),
        (b"\x01\0\0\x01\0\0\0A", "ABCD", 8, "utf-16", "\u0100\u0001"),
        (b"\xd8\x3d\xdd\x27", "ABCD", 4, "utf-16", "\U0001f527"),
        (b"\0\0\0\0", "ABCD", 4, None, ""),
        (b"  A ", "ABCD", 4, None, "  A"),
    ],
)
def test_strings(wire: bytes, order: Order, length: int, encoding: str | None, text: str) -> None:
    row = tag("holding:0", "string", length=length, encoding=encoding)
    assert decode_tag(row, order, wire) == (text, Quality.GOOD)


@pytest.mark.parametrize(
    ("encoding", "wire"), [("utf-8", b"\xff\xfe\0A"), ("utf-16", b"\xd8\0\0A"), (None, b"AB\xc3\0")]
)
def test_bytes_that_are_no_text_are_a_decoding_error_and_no_value(
    encoding: str | None, wire: bytes
) -> None:
    rows = [tag("holding:0", "string", length=4, encoding=e) for e in ("latin-1", encoding)]
    cells: list[Cell | None] = [cell_of(row, "ABCD", 0, i * 2) for i, row in enumerate(rows)]
    row, marks = decode([ValueType.STRING] * 2, cells, b"good" + wire)
    assert row == ["good", ""]
    assert [(m.columns.tolist(), m.status) for m in marks] == [([1], Quality.BAD_DECODING_ERROR)]


def test_texts_that_change_break_and_heal_are_each_what_they_are_now() -> None:
    rows = [tag(f"holding:{i * 2}", "string", length=4) for i in range(2)]
    of = schema(ValueType.STRING, ValueType.STRING)
    decoder = Decoder(of, [cell_of(row, "ABCD", i * 4, 0) for i, row in enumerate(rows)], 16)
    seen = []
    for wire in (
        b"good\xff\0\0\0",
        b"good\xff\0\0\0",
        b"bye\0\xff\0\0\0",
        b"bye\0back",
        b"\xffAA\0back",
    ):
        (values,), marks = decoder.decode(bytearray(wire + bytes(VOID_BYTES)))
        seen.append((values[0].tolist(), [m.columns.tolist() for m in marks]))
        values[0, :] = "spoilt"
    assert seen == [
        (["good", ""], [[1]]),
        (["good", ""], [[1]]),
        (["bye", ""], [[1]]),
        (["bye", "back"], []),
        (["", "back"], [[0]]),
    ]


def test_what_nothing_asks_for_is_zero() -> None:
    written = list(ValueType)
    written.remove(ValueType.BYTES)  # no tag can be so
    kinds = [kind for kind in written for _ in range(2)]
    row, marks = decode(kinds, [None] * len(kinds), b"\xff" * 16)
    assert row == [v for k in written for v in ["" if k is ValueType.STRING else 0] * 2]
    assert marks == []


def test_values_outlive_the_image() -> None:
    of = schema(*[ValueType.UINT16] * RUN_MIN)
    cells: list[Cell | None] = [Cell(i * 2) for i in range(RUN_MIN)]
    image = bytearray(b"\0\1" * RUN_MIN + bytes(VOID_BYTES))
    values, _ = Decoder(of, cells, len(image)).decode(image)
    image[:] = bytes(len(image))
    assert values[0].tolist() == [[1] * RUN_MIN]
