"""The forms of an address, and what is said of a text that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.modbus.address import ADDRESSES, Address, parse_address


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
