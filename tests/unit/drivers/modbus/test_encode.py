"""What is written reads as it was given, and what cannot be is refused with a reason."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from forebay.drivers.modbus.cells import cell_of
from forebay.drivers.modbus.decode import VOID_BYTES, Decoder
from forebay.drivers.modbus.encode import Mask, encode, mask
from forebay.drivers.modbus.order import Order
from forebay.model import Quality, Schema, ValueType, is_bad
from support.modbus import tag
from support.modbus_values import on_the_wire, reading

if TYPE_CHECKING:
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

ORDERS: tuple[Order, ...] = get_args(Order)
ORDER = st.sampled_from(ORDERS)
INTEGERS: list[tuple[str, str | None, int, int]] = [
    *((f"{'u' * (not s)}int{n}", None, -(1 << n - 1) if s else 0, (1 << n - s) - 1)
      for n in (16, 32, 64) for s in (0, 1)),
    *((f"uint{n}", "bcd", 0, 10 ** (n // 4) - 1) for n in (16, 32, 64)),
    *((f"int{n}", "bcd", -(10 ** (n // 4 - 1)) + 1, 10 ** (n // 4 - 1) - 1) for n in (16, 32, 64)),
    ("uint32", "mod10k", 0, 99_999_999),
    ("uint64", "mod10k", 0, 9_999_999_999_999_999),
    ("int64", "48-bit", -(1 << 47), (1 << 47) - 1),
    ("uint64", "48-bit", 0, (1 << 48) - 1),
]  # fmt: skip
"""A type, an encoding, and the least and greatest that registers so read can be."""


def decoded(row: ModbusTag, order: Order, wire: bytes) -> Any:
    """Give what the driver's own decoder makes of the registers of a tag."""
    schema = Schema("d", "g", (row.to_tag(),))
    image = bytearray(wire + bytes(VOID_BYTES))
    values, marks = Decoder(schema, [cell_of(row, order, 0, 0)], len(image)).decode(image)
    assert not [mark for mark in marks if is_bad(mark.status)]
    return values[0].tolist()[0][0]


def written(row: ModbusTag, order: Order, value: Value) -> bytes:
    assume(row.misordered(order) is None)
    wire = encode(row, order, value)
    assert isinstance(wire, bytes)
    assert len(wire) == row.count * 2
    return wire


@given(st.sampled_from(INTEGERS), ORDER, st.data())
def test_every_integer_reads_as_it_was_written(
    kind: tuple[str, str | None, int, int], order: Order, data: st.DataObject
) -> None:
    name, encoding, least, most = kind
    value = data.draw(st.integers(least, most) | st.sampled_from([least, most]))
    row = tag("holding:0", name, encoding=encoding)
    wire = written(row, order, value)
    assert reading(row, order, wire) == (value, Quality.GOOD)
    assert decoded(row, order, wire) == value


@pytest.mark.parametrize(("name", "encoding", "least", "most"), INTEGERS)
def test_no_integer_is_clipped(name: str, encoding: str | None, least: int, most: int) -> None:
    row = tag("holding:0", name, encoding=encoding)
    for value in (least - 1, most + 1, 10**30, math.inf, -math.inf):
        with pytest.raises(ValueError, match=rf"the tag holds (only|{least} to {most})"):
            encode(row, "ABCD", value)


@given(
    st.sampled_from([("float32", None, 32), ("float64", None, 64), ("float32", "float16", 16)]),
    ORDER,
    st.data(),
)
def test_every_float_reads_as_it_was_written(
    kind: tuple[str, str | None, Any], order: Order, data: st.DataObject
) -> None:
    name, encoding, width = kind
    value = data.draw(st.floats(width=width))
    row = tag("holding:0", name, encoding=encoding)
    wire = written(row, order, value)
    for got in (reading(row, order, wire)[0], decoded(row, order, wire)):
        assert got == value or (math.isnan(value) and isinstance(got, float) and math.isnan(got))


@given(st.floats(-65_504, 65_504), ORDER)
def test_a_float_is_written_as_the_nearest_that_there_is(value: float, order: Order) -> None:
    for form, row in (
        (">f", tag("holding:0", "float32")),
        (">e", tag("holding:0", "float32", encoding="float16")),
    ):
        (nearest,) = struct.unpack(form, struct.pack(form, value))
        assert reading(row, order, written(row, order, value))[0] == nearest


@given(
    st.integers(0, 15), st.integers(1, 16), ORDER, st.booleans(), st.integers(0, 0xFFFF), st.data()
)
def test_some_bits_of_a_register_are_written_and_the_others_stay(
    low: int,
    count: int,
    order: Order,
    signed: bool,  # noqa: FBT001 - drawn by hypothesis
    before: int,
    data: st.DataObject,
) -> None:
    assume(low + count <= 16)
    value = data.draw(
        st.integers(-(1 << count - 1), (1 << count - 1) - 1)
        if signed
        else st.integers(0, (1 << count) - 1)
    )
    row = tag(f"holding:0.{low}-{low + count - 1}", "int16" if signed else "uint16")
    masks = mask(row, order, value)
    after = masks.apply(before)
    assert reading(row, order, after.to_bytes(2, "big")) == (value, Quality.GOOD)
    assert decoded(row, order, after.to_bytes(2, "big")) == value
    assert encode(row, order, value) == masks.or_mask.to_bytes(2, "big")
    for other in set(range(16)) - set(range(low, low + count)):
        bit = tag(f"holding:0.{other}", "bool")
        assert reading(bit, order, after.to_bytes(2, "big")) == reading(
            bit, order, before.to_bytes(2, "big")
        )


@given(st.integers(0, 15), ORDER, st.booleans(), st.integers(0, 0xFFFF))
def test_one_bit_is_written_and_the_others_stay(
    bit: int,
    order: Order,
    value: bool,  # noqa: FBT001 - drawn by hypothesis
    before: int,
) -> None:
    row = tag(f"holding:0.{bit}", "bool")
    after = mask(row, order, value).apply(before)
    assert reading(row, order, after.to_bytes(2, "big")) == (value, Quality.GOOD)
    assert (before ^ after).bit_count() <= 1


def test_masks_are_the_operands_of_the_standard() -> None:
    # The example of MB-APP 6.16: 0x12 masked with 0xF2 and 0x25 becomes 0x17.
    assert Mask(0x00F2, 0x0025).apply(0x0012) == 0x0017
    assert mask(tag("holding:0.4-7", "uint8"), "ABCD", 10) == Mask(0xFF0F, 0x00A0)
    assert mask(tag("holding:0.4-7", "uint8"), "DCBA", 10) == Mask(0x0FFF, 0xA000)
    assert mask(tag("holding:0.h", "int8"), "ABCD", -2) == Mask(0x00FF, 0xFE00)
    assert mask(tag("holding:0.0", "bool"), "ABCD", value=False) == Mask(0xFFFE, 0x0000)


@pytest.mark.parametrize("value", [True, False])
def test_a_coil_is_a_bool(value: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert encode(tag("coil:3", "bool"), "CDAB", value) is value


@given(
    st.sampled_from([None, "utf-8", "latin-1", "utf-16"]),
    st.integers(1, 12),
    ORDER,
    st.text(max_size=9),
)
def test_every_text_reads_as_it_was_written_or_is_refused(
    encoding: str | None, length: int, order: Order, text: str
) -> None:
    assume(encoding != "utf-16" or length % 2 == 0)
    row = tag("holding:0", "string", encoding=encoding, length=length)
    try:
        wire = written(row, order, text)
    except ValueError as error:
        codec = {None: "utf-8", "utf-16": "utf-16-be"}.get(encoding, encoding or "")
        assert (  # noqa: PT017 - either of two outcomes is right
            "does not exist" in str(error) or "\0" in text or len(text.encode(codec)) > length
        )
    else:
        assert reading(row, order, wire) == (text.rstrip(" "), Quality.GOOD)
        assert decoded(row, order, wire) == text.rstrip(" ")


def test_a_text_is_laid_out_as_known() -> None:
    row = tag("holding:0", "string", length=5)
    assert encode(row, "ABCD", "ABC") == b"ABC\0\0\0"
    assert encode(row, "BADC", "ABC") == b"BA\0C\0\0"
    assert encode(row, "CDAB", "ABCDE") == b"ABCDE\0"
    assert encode(row, "ABCD", "AB   ") == b"AB   \0"


@pytest.mark.parametrize(
    ("address", "kind", "more", "value", "said"),
    [
        ("holding:0", "int16", {}, math.nan, "not a whole number"),
        ("holding:0", "int16", {}, 1.5, "not a whole number"),
        ("holding:0", "int16", {}, "7", "not a number"),
        ("holding:0", "int16", {}, True, "True is not a number"),
        ("holding:0", "float32", {}, "1.0", "not a number"),
        ("holding:0", "float32", {}, False, "not a number"),
        ("holding:0", "float32", {}, 3.5e38, "holds -3.4028235e38 to 3.4028235e38"),
        ("holding:0", "float32", {"encoding": "float16"}, 65_520, "holds -65504 to 65504"),
        ("holding:0", "float64", {}, 10**400, "does not fit"),
        ("holding:0.4-7", "uint8", {}, 16, "holds 0 to 15"),
        ("holding:0.4-7", "int8", {}, 8, "holds -8 to 7"),
        ("holding:0.l", "uint8", {}, 256, "holds 0 to 255"),
        ("holding:0.4", "bool", {}, 1, "neither true nor false"),
        ("coil:4", "bool", {}, 1, "neither true nor false"),
        ("coil:4", "bool", {}, "true", "neither true nor false"),
        ("holding:0", "string", {"length": 4}, 7, "7 is not text"),
        ("holding:0", "string", {"length": 4}, "ABCDE", "takes 5 bytes, and the tag holds 4"),
        ("holding:0", "string", {"length": 4}, "ÄÖÜ", "takes 6 bytes"),
        ("holding:0", "string", {"length": 4, "encoding": "utf-16"}, "ABC", "takes 6 bytes"),
        ("holding:0", "string", {"length": 4, "encoding": "latin-1"}, "€", "does not exist in"),
        ("holding:0", "string", {"length": 4}, "\ud800", "does not exist in utf-8"),
        ("holding:0", "string", {"length": 4}, "A\0B", "would not read the same"),
    ],
)
def test_what_a_tag_cannot_hold_is_refused_with_a_reason(
    address: str, kind: str, more: dict[str, Any], value: Value, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        encode(tag(address, kind, **more), "ABCD", value)


def test_a_whole_float_is_an_integer() -> None:
    assert encode(tag("holding:0", "uint16"), "ABCD", 500.0) == b"\x01\xf4"


@given(
    st.sampled_from(sorted(set(ValueType) - {ValueType.BYTES})),
    st.floats() | st.integers() | st.text() | st.booleans(),
)
def test_any_value_is_written_or_refused_in_few_words(kind: ValueType, value: Value) -> None:
    place = {"bool": "holding:0.3", "int8": "holding:0.h", "uint8": "holding:0.l"}
    more = {"length": 6} if kind is ValueType.STRING else {}
    try:
        encode(tag(place.get(kind, "holding:0"), kind, **more), "CDAB", value)
    except ValueError as error:
        assert 0 < len(str(error)) < 250  # noqa: PT017 - either of two outcomes is right


def test_bytes_lie_as_the_order_says() -> None:
    for order in ORDERS:
        value = encode(tag("holding:0", "uint64"), order, 0x0102030405060708)
        assert value == on_the_wire(bytes(range(1, 9)), order)


@given(
    st.sampled_from(
        [*(f"{s}int{n}" for n in (16, 32, 64) for s in ("", "u")), "float32", "float64"]
    ),
    st.sampled_from([("ABCD", "big"), ("CDAB", "little")]),
    st.binary(min_size=8, max_size=8),
)
def test_pymodbus_writes_the_same_registers(
    name: str, order: tuple[Order, Literal["big", "little"]], raw: bytes
) -> None:
    kind = ValueType(name)
    (value,) = np.frombuffer(raw[: kind.dtype.itemsize], kind.dtype.newbyteorder(">")).tolist()
    assume(math.isfinite(value))
    of = getattr(ModbusClientMixin.DATATYPE, name.upper())
    registers = ModbusClientMixin.convert_to_registers(value, of, word_order=order[1])
    wire = encode(tag("holding:0", name), order[0], value)
    assert wire == struct.pack(f">{len(registers)}H", *registers)
