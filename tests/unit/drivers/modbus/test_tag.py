"""What a person may write about one Modbus value, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forebay.drivers.modbus.order import FLIPS, Order
from forebay.drivers.modbus.tag import ModbusTag


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
