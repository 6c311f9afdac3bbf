"""What a person may write about one Modbus value, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forebay.drivers.modbus.tag import (
    ADDRESSES,
    FLIPS,
    Address,
    ModbusTag,
    Order,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("holding:0", Address("holding", 0, None)),
        ("holding:65535", Address("holding", 65_535, None)),
        ("input:7", Address("input", 7, None)),
        ("coil:3", Address("coil", 3, None)),
        ("discrete:9", Address("discrete", 9, None)),
        ("holding:100.15", Address("holding", 100, 15)),
        ("40001", Address("holding", 0, None)),
        ("40101", Address("holding", 100, None)),
        ("400101", Address("holding", 100, None)),
        ("465536", Address("holding", 65_535, None)),
        ("40101.3", Address("holding", 100, 3)),
        ("holding:100.4-7", Address("holding", 100, 4, 4, field=True)),
        ("40101.0-15", Address("holding", 100, 0, 16, field=True)),
        ("input:5.7-7", Address("input", 5, 7, 1, field=True)),
        ("holding:100.h", Address("holding", 100, 8, 8, field=True)),
        ("30001.l", Address("input", 0, 0, 8, field=True)),
        ("30001", Address("input", 0, None)),
        ("300001", Address("input", 0, None)),
        ("10001", Address("discrete", 0, None)),
        ("00001", Address("coil", 0, None)),
        ("009999", Address("coil", 9998, None)),
    ],
)
def test_every_form_of_an_address_is_understood(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("40000", "count from 1, the first is 40001"),
        ("000000", "count from 1, the first is 000001"),
        ("465537", "beyond the last address"),
        ("holding:65536", "beyond the last address"),
        ("holding:5.16", "bits 0 to 15"),
        ("coil:5.1", "leave out .1"),
        ("coil:5.h", "leave out .h"),
        ("discrete:5.0-3", "leave out .0-3"),
        ("holding:5.3-16", "bits 0 to 15"),
        ("holding:5.7-4", "write the lowest first: .4-7"),
        ("holding:5.H", "is not a Modbus address; write"),
        ("holding:5.", "is not a Modbus address; write"),
        ("holding:5.4-", "is not a Modbus address; write"),
        ("holding:5.1-2-3", "is not a Modbus address; write"),
        ("20001", "is not a Modbus address; write"),
        ("4001", "is not a Modbus address; write"),
        ("holding:-1", "is not a Modbus address; write"),
        ("holding: 1", "is not a Modbus address; write"),
        ("holding:\N{FULLWIDTH DIGIT ONE}", "is not a Modbus address; write"),
        ("holding:1\n", "is not a Modbus address; write"),
        ("DB1.DBW4", "is not a Modbus address; write"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        parse_address(text)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"address": "coil:1", "type": "float32"}, "cannot hold a float32; choose bool"),
        ({"address": "discrete:1", "type": "uint16"}, "cannot hold a uint16; choose bool"),
        ({"address": "coil:1", "type": "string", "length": 4}, "cannot hold a string"),
        ({"address": "holding:1", "type": "bool"}, "write holding:1.0"),
        ({"address": "holding:1.4", "type": "int16"}, "leave out .4"),
        ({"address": "holding:1", "type": "uint8"}, "write holding:1.h for its high byte or"),
        ({"address": "holding:1", "type": "int8"}, "or holding:1.l for its low byte, or choose"),
        ({"address": "holding:1.3", "type": "uint8"}, "one bit cannot hold a uint8"),
        (
            {"address": "holding:1.h", "type": "float32"},
            "are an integer, not a float32; choose uint8",
        ),
        ({"address": "holding:1.3-12", "type": "bool"}, "not a bool; choose uint16"),
        ({"address": "holding:1.h", "type": "string", "length": 1}, "not a string; choose uint8"),
        ({"address": "holding:1.0-8", "type": "uint8"}, "cannot hold 9 bits; choose uint16 or"),
        ({"address": "holding:1.0-15", "type": "int8"}, "cannot hold 16 bits; choose int16 or"),
        ({"address": "holding:1", "type": "float16"}, "write type float32 and encoding float16"),
        ({"address": "holding:1", "type": "UINT48"}, "write type uint64 and encoding 48-bit"),
        ({"address": "holding:1", "type": "bcd"}, "uint32 or uint64 and encoding bcd"),
        (
            {"address": "holding:1", "type": "float32", "encoding": "bcd"},
            "choose int16, uint16, int32",
        ),
        ({"address": "holding:1", "type": "float64", "encoding": "float16"}, "choose float32"),
        (
            {"address": "holding:1", "type": "int32", "encoding": "mod10k"},
            "choose uint32 or uint64",
        ),
        (
            {"address": "holding:1", "type": "uint32", "encoding": "48-bit"},
            "choose int64 or uint64",
        ),
        ({"address": "holding:1", "type": "uint16", "encoding": "utf-8"}, "choose string, or"),
        ({"address": "holding:1.h", "type": "uint8", "encoding": "bcd"}, "leave out bcd"),
        ({"address": "coil:1", "type": "bool", "encoding": "bcd"}, "no bool is encoded as bcd"),
        ({"address": "holding:1", "type": "int16", "encoding": "packed"}, "'float16', '48-bit'"),
        (
            {"address": "holding:1", "type": "string", "length": 5, "encoding": "utf-16"},
            "write an even length",
        ),
        (
            {"address": "holding:1", "type": "int64", "encoding": "48-bit", "order": "CDABGHEF"},
            "three registers have no order CDABGHEF; choose ABCD, CDAB, BADC or DCBA",
        ),
        ({"address": "holding:65534", "type": "int64", "encoding": "48-bit"}, "ends beyond 65535"),
        ({"address": "holding:1", "type": "string"}, "needs a length"),
        ({"address": "holding:1", "type": "int16", "length": 2}, "has no length"),
        ({"address": "holding:1", "type": "string", "length": 251}, "250"),
        ({"address": "holding:65535", "type": "float32"}, "ends beyond 65535"),
        ({"address": "holding:65533", "type": "int64"}, "ends beyond 65535"),
        ({"address": "holding:65534", "type": "string", "length": 5}, "ends beyond 65535"),
        ({"address": "coil:1", "type": "bool", "order": "CDAB"}, "no byte order"),
        ({"address": "holding:1", "type": "int32", "order": "ACBD"}, "ABCD"),
        ({"address": "coil:1", "type": "bool", "scale": 2}, "cannot be scaled"),
    ],
)
def test_what_cannot_be_represented_is_a_fault_of_the_configuration(
    row: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusTag(name="t", **row)
    assert said in caught.value.errors()[0]["msg"]


def test_a_column_that_does_not_exist_is_a_fault() -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusTag(name="t", address="holding:1", type="int32", endian="big")  # type: ignore[call-arg]
    assert caught.value.errors()[0]["loc"] == ("endian",)


@pytest.mark.parametrize(
    ("kind", "more", "count"),
    [
        ("int16", {}, 1),
        ("uint32", {}, 2),
        ("float32", {}, 2),
        ("uint64", {}, 4),
        ("float64", {}, 4),
        ("int16", {"encoding": "bcd"}, 1),
        ("uint32", {"encoding": "bcd"}, 2),
        ("uint64", {"encoding": "bcd"}, 4),
        ("uint32", {"encoding": "mod10k"}, 2),
        ("uint64", {"encoding": "mod10k"}, 4),
        ("float32", {"encoding": "float16"}, 1),
        ("int64", {"encoding": "48-bit"}, 3),
        ("string", {"length": 6, "encoding": "utf-16"}, 3),
        ("string", {"length": 1}, 1),
        ("string", {"length": 8}, 4),
        ("string", {"length": 250}, 125),
    ],
)
def test_the_registers_of_each_type(kind: str, more: dict[str, Any], count: int) -> None:
    assert ModbusTag(name="t", address="holding:0", type=kind, **more).count == count


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("holding:0.h", "uint8"),
        ("holding:0.3", "bool"),
        ("holding:0.2-9", "int64"),
        ("coil:1", "bool"),
    ],
)
def test_a_part_of_a_register_takes_one(address: str, kind: str) -> None:
    assert ModbusTag(name="t", address=address, type=kind).count == 1


@given(st.text(max_size=12) | st.from_regex(r"(holding|coil):[0-9]{1,6}(\.[0-9hl-]{1,5})?"))
def test_any_text_is_an_address_within_the_device_or_is_explained(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError as error:
        assert len(str(error)) > len(text)  # noqa: PT017 - either of two outcomes is right
        return
    assert 0 <= address.start < ADDRESSES
    if address.bit is not None:
        assert address.in_registers
        assert 0 <= address.bit < address.bit + address.bits <= 16


@given(st.sampled_from(["holding", "input"]), st.integers(0, 65_535), st.integers(0, 15), st.data())
def test_both_forms_of_an_address_mean_the_same(
    area: str, start: int, low: int, data: st.DataObject
) -> None:
    high = data.draw(st.integers(low, 15))
    part = data.draw(st.sampled_from(["", ".h", ".l", f".{low}", f".{low}-{high}"]))
    number = f"{'4' if area == 'holding' else '3'}{start + 1:05}"
    assert parse_address(f"{area}:{start}{part}") == parse_address(f"{number}{part}")


@pytest.mark.parametrize("order", [order for order, flip in FLIPS.items() if flip & 6 in {2, 4}])
def test_only_three_registers_cannot_have_orders_that_know_pairs_of_registers(order: Order) -> None:
    for kind, more in (
        ("int64", {}),
        ("int16", {}),
        ("float64", {}),
        ("uint64", {"encoding": "bcd"}),
    ):
        assert ModbusTag(name="t", address="holding:0", type=kind, **more).misordered(order) is None
    three = ModbusTag(name="t", address="holding:0", type="int64", encoding="48-bit")
    assert order in (three.misordered(order) or "")


def test_the_last_register_may_be_used() -> None:
    assert ModbusTag(name="t", address="holding:65534", type="float32").place.start == 65_534
