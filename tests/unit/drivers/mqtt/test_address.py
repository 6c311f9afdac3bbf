"""Topics and JSON Pointers as text, and the walk into a document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.mqtt.address import MISSING, TopicAddress, find, parse_address, parse_pointer

# RFC 6901, section 5.
DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("plant/line", TopicAddress("plant/line", None)),
        ("plant/line#", TopicAddress("plant/line", ())),
        ("plant/line#/motor/speed", TopicAddress("plant/line", ("motor", "speed"))),
        ("/lead/ing", TopicAddress("/lead/ing", None)),
        ("a b/\u00e4#/x~1y~0z", TopicAddress("a b/\u00e4", ("x/y~z",))),
        ("t#/a#b", TopicAddress("t", ("a#b",))),
    ],
)
def test_every_form_is_understood(text: str, address: TopicAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "#/speed",
        "plant/+/speed",
        "+",
        "plant/#",
        "t#speed",
        "t#/a~2b",
        "t#/a~",
        "a\0b",
        "x" * 65_536,
    ],
)
def test_wildcards_and_slips_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_address(text)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_examples_of_rfc_6901(pointer: str, value: object) -> None:
    assert find(DOCUMENT, parse_pointer(pointer)) == value


@pytest.mark.parametrize("pointer", ["/nope", "/foo/2", "/foo/-", "/foo/01", "/foo/x", "/a~1b/c"])
def test_what_is_not_there_is_missing(pointer: str) -> None:
    assert find(DOCUMENT, parse_pointer(pointer)) is MISSING


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert address.topic
    assert not set(address.topic) & {"#", "+"}


@given(st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_every_place_of_a_document_has_a_pointer(document: object) -> None:
    def walk(part: object, pointer: str) -> None:
        assert find(document, parse_pointer(pointer)) == part
        if isinstance(part, dict) and pointer.count("/") < 30:
            for key, value in part.items():
                walk(value, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")

    walk(document, "")
