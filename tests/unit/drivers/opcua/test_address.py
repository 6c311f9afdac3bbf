"""NodeIds as text, the right ones and the wrong ones."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua.address import (
    Identifier,
    NodeAddress,
    Step,
    format_address,
    parse_address,
)

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ns=2;s=Line.Temp", NodeAddress(2, None, "Line.Temp")),
        ("s=a;b=c;i=7", NodeAddress(0, None, "a;b=c;i=7")),
        ("i=2258", NodeAddress(0, None, 2258)),
        ("ns=65535;i=4294967295", NodeAddress(65_535, None, 4_294_967_295)),
        ("nsu=http://example.com/line;i=7", NodeAddress(0, "http://example.com/line", 7)),
        ("nsu=urn:a%3Bb;s=x", NodeAddress(0, "urn:a;b", "x")),
        (f"ns=1;g={GUID}", NodeAddress(1, None, uuid.UUID(GUID))),
        ("ns=1;b=AQID", NodeAddress(1, None, b"\x01\x02\x03")),
    ],
)
def test_every_form_is_understood(text: str, address: NodeAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "Line.Temp",
        "ns=2",
        "ns=2;s=",
        "ns=70000;i=1",
        "ns=-1;i=1",
        "i=4294967296",
        "i=99999999999999999999",
        "i=x",
        "i=١",  # noqa: RUF001 - a digit, but not one of the standard's
        "g=nothing",
        "b=***",
        "x=1",
        "nsu=;i=1",
        "",
    ],
)
def test_what_is_no_node_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_address(text)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert 0 <= address.namespace <= 0xFFFF


PARTS = st.lists(
    st.one_of(
        st.text("abcXYZ_ \u00e4", min_size=1, max_size=8),
        st.lists(st.integers(0, 2**31), min_size=1, max_size=3).map(tuple),
    ),
    max_size=4,
).map(tuple)
NAMES = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=20
)


@given(
    st.one_of(st.none(), NAMES),
    st.one_of(NAMES, st.integers(0, 2**32 - 1), st.uuids(), st.binary(min_size=1, max_size=9)),
    PARTS,
)
def test_what_is_written_is_what_is_read(
    uri: str | None, identifier: Identifier, part: tuple[Step, ...]
) -> None:
    address = NodeAddress(0, uri, identifier, part)
    assert parse_address(format_address(address)) == address


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ns=2;s=Array;at=[3]", ((3,),)),
        ("ns=2;s=Matrix;at=[1,2]", ((1, 2),)),
        ("nsu=urn:x;i=7;at=status.codes[0].text", ("status", "codes", (0,), "text")),
        ("ns=2;s=Array[3]", ()),
        ("ns=2;s=odd;at=name;at=", ()),
    ],
)
def test_a_part_stands_behind_the_last_at(text: str, part: tuple[Step, ...]) -> None:
    assert parse_address(text).part == part


@pytest.mark.parametrize("part", ["[", "[]", "[-1]", "[1", "a..b", ".a", "a.", "[1][", "a[1]b"])
def test_a_part_that_is_none_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="not a part"):
        parse_address(f"i=7;at={part}")
