"""Templates: a value is a value, whatever it holds."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet.rollouts.templates import Template, render

SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False),
)


def one(text: str, **variables: str | float | bool) -> str:
    done = render({"forebay.toml": text.encode()}, variables)
    assert done.faults == [], done.faults
    return done.contents["forebay.toml"].decode()


def test_whole_strings_take_the_type_of_the_value() -> None:
    text = 'a = "${port}"\nb = "${on}"\nc = "${name}"\nd = "opc.tcp://${name}:${port}/x"\n'
    found = tomllib.loads(one(text, port=502, on=True, name='li"ne'))
    assert found == {"a": 502, "b": True, "c": 'li"ne', "d": 'opc.tcp://li"ne:502/x'}


@pytest.mark.hypothesis
@given(value=SCALARS)
def test_no_value_becomes_more_than_a_value(*, value: str | float | bool) -> None:
    text = 'before = 1\nx = "${v}" # a comment\ny = "a${v}b"\n[table]\nz = ["${v}", "${v}"]\n'
    found = tomllib.loads(one(text, v=value))
    assert found["x"] == value
    assert found["table"] == {"z": [value, value]}
    assert set(found) == {"before", "x", "y", "table"}
    if isinstance(value, str):
        assert found["y"] == f"a{value}b"


def test_a_doubled_sign_is_a_sign() -> None:
    assert tomllib.loads(one('a = "$${x}"\nb = "$x {y}"\n')) == {"a": "${x}", "b": "$x {y}"}


def test_comments_are_left_alone() -> None:
    text = '# ${nothing} here\na = 1 # nor "${here}"\n'
    assert one(text) == text


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ('a = "${missing}"\n', "forebay.toml:1", "no variable 'missing'"),
        ('\n\na = "x${missing}"\n', "forebay.toml:3", "no variable 'missing'"),
        ("a = '${v}'\n", "forebay.toml:1", "where none can be"),
        ('a = """\n${v}"""\n', "forebay.toml:2", "where none can be"),
        ("a = ${v}\n", "forebay.toml:1", "where none can be"),
        ('"${v}" = 1\n', "forebay.toml:1", "where none can be"),
        ('[line]\n"a${v}".b = 1\n', "forebay.toml:2", "where none can be"),
        ('[a]\n[plugins."${v}"]\n', "forebay.toml:2", "where none can be"),
        ('a = [\n["${v}"], { "${v}" = 1 }]\n', "forebay.toml:2", "where none can be"),
        ('a = "${V-x}"\n', "forebay.toml:1", "names no variable"),
        ('a = "${v}', "forebay.toml:1", "where none can be"),
        ("a = \n", "forebay.toml", "Invalid"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, path: str, says: str) -> None:
    done = render({"forebay.toml": text.encode()}, {"v": "x"})
    assert [fault.path for fault in done.faults] == [path]
    assert says in done.faults[0].message
    assert done.faults[0].hint


def test_other_files_are_taken_as_they_are() -> None:
    done = render({"forebay.toml": b"", "tags.csv": b"${x}\xff"}, {})
    assert done.contents["tags.csv"] == b"${x}\xff"
    assert not done.faults
    both = {"forebay.toml": b'a = "${x}"', "conf.d/y.toml": b'b = "q${y}"'}
    assert Template(both).names == {"x", "y"}
    assert render({"forebay.toml": b"\xff"}, {}).faults[0].message == "is not UTF-8"


def test_a_list_of_values_is_no_name_of_a_table() -> None:
    assert tomllib.loads(one('z = [\n["${v}"]\n]\n', v="x")) == {"z": [["x"]]}
