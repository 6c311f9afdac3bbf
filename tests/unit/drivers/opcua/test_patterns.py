"""Shell patterns on paths: a walk down that never misses what matches, and goes nowhere else."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua.patterns import Pattern, parts_of, path_part


def walked(pattern: str, parts: list[str]) -> bool:
    compiled = Pattern(pattern)
    places = compiled.start()
    for part in parts:
        places = compiled.step(places, part)
    return compiled.complete(places)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("", "Press", True),
        ("", "Press/Temp", False),
        ("Press/*/Temp*", "Press/Oil/Temp1", True),
        ("Press/*/Temp*", "Press/Temp1", False),
        ("**", "a/b/c", True),
        ("**/Temp", "Temp", True),
        ("Press/**", "Press", True),
        ("Press/**/x", "Press/a/b/x", True),
        ("Press/**/x", "Press/a/b/y", False),
        ("[ab]/?", "b/c", True),
        ("press", "Press", False),
    ],
)
def test_what_a_person_writes(pattern: str, path: str, *, matches: bool) -> None:
    assert walked(pattern, path.split("/")) is matches


@given(
    st.lists(st.sampled_from(["a", "b", "*", "**", "?"]), min_size=1, max_size=6),
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=6),
)
def test_a_walk_agrees_with_one_regular_expression(pattern: list[str], path: list[str]) -> None:
    whole = "".join(
        "(?:[^/]+/)*" if part == "**" else translate(part)[4:-3].replace(".", "[^/]") + "/"
        for part in pattern
    )
    expected = re.fullmatch(whole, "".join(f"{part}/" for part in path)) is not None
    assert walked("/".join(pattern), path) is expected


def test_a_slash_within_a_name_is_no_separator() -> None:
    assert path_part("l/min & more") == "l&/min && more"
    assert walked("Flow/l&/min", ["Flow", path_part("l/min")])
    assert parts_of("a&&/b&/c//d&") == ["a&&", "b&/c", "d&"]


def test_a_pattern_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="64 parts"):
        Pattern("/".join("a" * 65))
