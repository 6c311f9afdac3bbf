"""What a person may write about one Modbus value, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forebay.drivers.modbus.tag import Address, ModbusTag, parse_address


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
        ({"address": "holding:1", "type": "uint8"}, "choose int16 or uint16"),
        ({"address": "holding:1", "type": "int8"}, "choose int16 or uint16"),
        ({"address": "holding:1", "type": "string"}, "needs a length"),
        ({"address": "holding:1", "type": "int16", "length": 2}, "has no length"),
        ({"address": "holding:1", "type": "string", "length": 251}, "250"),
        ({"address": "holding:65535", "type": "float32"}, "ends beyond 65535"),
        ({"address": "holding:65533", "type": "int64"}, "ends beyond 65535"),
        ({"address": "holding:65534", "type": "string", "length": 5}, "ends beyond 65535"),
        ({"address": "coil:1", "type": "bool", "order": "CDAB"}, "no byte order"),
        ({"address": "holding:1", "type": "int32", "order": "ACBD"}, "ABCD"),
        ({"address": "coil:1", "type": "bool", "scale": 2}, "cannot be scaled"),
        ({"address": "holding:1", "type": "int32", "endian": "big"}, "endian"),
    ],
)
def test_what_cannot_be_represented_is_a_fault_of_the_configuration(
    row: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusTag(name="t", **row)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "more", "count"),
    [
        ("int16", {}, 1),
        ("uint32", {}, 2),
        ("float32", {}, 2),
        ("uint64", {}, 4),
        ("float64", {}, 4),
        ("string", {"length": 1}, 1),
        ("string", {"length": 8}, 4),
        ("string", {"length": 250}, 125),
    ],
)
def test_the_registers_of_each_type(kind: str, more: dict[str, Any], count: int) -> None:
    assert ModbusTag(name="t", address="holding:0", type=kind, **more).count == count


def test_the_last_register_may_be_used() -> None:
    assert ModbusTag(name="t", address="holding:65534", type="float32").place.start == 65_534
