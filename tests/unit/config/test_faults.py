"""Faults: the right place, a plain sentence, a next step, and nothing that should not be shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forebay.config.faults import REFERENCE, dotted, explain, meant, nearest, shown, split_hint
from support.fake_adapters import FakeDevice, FakeTag

GOOD: dict[str, Any] = {"protocol": "fake", "host": "plc", "tags": "plc.csv"}


def faults_of(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        FakeDevice.model_validate(data)
    return [str(fault) for fault in explain(caught.value, FakeDevice, data)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"host": 5}, "host: must be text, not 5 (correct it: Where it is)"),
        ({"port": 0}, "port: must be from 1 to 65535, not 0 (correct it: Its port)"),
        ({"port": "x"}, "port: must be a whole number, not 'x' (correct it: Its port)"),
        ({"prot": 1}, "prot: is unknown (did you mean 'port'?)"),
        (
            {"buffer": "1 GiB"},
            "buffer: must be at least 1 KiB, less than 1 GiB, not '1 GiB' (correct it: Its memory)",
        ),
        (
            {"buffer": "lots"},
            "buffer: 'lots' is not a size (write a number and B, KiB, MiB, GiB or TiB)",
        ),
        (
            {"pause": [1]},
            "pause: must be a duration, not a list (write a number and a unit, such as '250 ms')",
        ),
        (
            {"pause": float("nan")},
            "pause: must be a finite number, not nan (write an ordinary number such as 1.0)",
        ),
        (
            {"ratio": "car"},
            "ratio: must be a number or one of auto, not 'car' (correct it: Its ratio)",
        ),
        (
            {"login": 3},
            "login: must be a table, not 3 (begin it with [login] on a line of its own)",
        ),
        ({"login": {"user": ""}}, "login.user: must not be empty (correct it: Who)"),
        (
            {"login": {"user": "far too long"}},
            "login.user: must have at most 8 characters (correct it: Who)",
        ),
        ({"login": {"usr": "x"}}, "login.usr: is unknown (did you mean 'user'?)"),
        (
            {"groups": {"fast": {"mode": "pol"}}},
            "groups.fast.mode: must be one of poll, subscribe, not 'pol' (did you mean 'poll'?)",
        ),
        (
            {"groups": {"fast": {"perod": 1}}},
            "groups.fast.perod: is unknown (did you mean 'period'?)",
        ),
        (
            {"tags": [{}, 4]},
            "tags[1]: must be a table, not 4 (begin it with [[tags]] on a line of its own)",
        ),
        ({"period": "1 s"}, "period: is unknown (it belongs in [groups.default])"),
        ({"trusted": [5]}, "trusted[0]: must be a path in quotes, not 5 (correct it: see {ref})"),
    ],
)
def test_sentences(change: dict[str, Any], expected: str) -> None:
    assert faults_of(GOOD | change) == [expected.format(ref="docs/reference/config.md")]


def test_a_secret_is_not_repeated() -> None:
    found = faults_of(GOOD | {"login": {"password": 1234}})
    assert found == ["login.password: must be text (correct it: What only the user knows)"]


def test_all_faults_come_at_once() -> None:
    found = faults_of({"protocol": "fake", "port": -1, "login": {"user": 1}, "zone": 3})
    assert [line.partition(": ")[0] for line in found] == [
        "tags",
        "host",
        "port",
        "login.user",
        "zone",
    ]


def test_a_hint_may_stand_in_the_message_of_a_validator() -> None:
    data = {"name": "a", "address": "x y", "type": "bool"}
    with pytest.raises(ValidationError) as caught:
        FakeTag.model_validate(data)
    (fault,) = explain(caught.value, FakeTag, data)
    assert str(fault) == "address: 'x y' has a space (take it out)"


def test_split_hint_cuts_once() -> None:
    assert split_hint("a; b; c", "d") == ("a", "b; c")
    assert split_hint("a", "d") == ("a", "d")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (("devices", "press", "tags", 3, "name"), "devices.press.tags[3].name"),
        (("devices", "hall 1.a"), 'devices."hall 1.a"'),
        (("devices", "p.1", "port"), 'devices."p.1".port'),
        (("a\x1b[31m",), r'"a\x1b[31m"'),
        ((), ""),
    ],
)
def test_dotted(where: tuple[str | int, ...], text: str) -> None:
    assert dotted(where) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ({}, "a table"),
        ([], "a list"),
        (date(2025, 3, 1), "2025-03-01"),
        pytest.param(1 << 20_000, "a huge number", id="huge"),
        ("a\nb", r"'a\nb'"),
        ("x" * 200, "'" + "x" * 55 + "...'"),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_nearest_ignores_case() -> None:
    assert nearest("PERIOD", ["mode", "period"]) == "period"
    assert nearest("xyz", ["mode", "period"]) is None
    assert meant("xyz", ["mode", "period"]) == "known are: mode, period"
    assert meant("xyz", []) == "known are: none"


_toml = st.recursive(
    st.one_of(
        st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.times()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["user", "mode", "period", "password", "kind", "x y"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FakeDevice.model_fields, "no\nkey"]), _toml))
def test_whatever_toml_holds_becomes_settings_or_lines_that_can_be_printed(
    data: dict[str, Any],
) -> None:
    try:
        FakeDevice.model_validate(data)
    except ValidationError as error:
        found = explain(error, FakeDevice, data)
        assert found
        for fault in found:
            assert fault.path
            assert fault.message
            assert fault.hint
            assert str(fault).isprintable()
            assert "validator" not in str(fault)


def test_every_known_fault_has_a_next_step_of_its_own() -> None:
    """Nobody is sent to the reference page to find out what to do."""
    cases = Path(__file__).resolve().parents[2] / "cases/config"
    found = [file.parent.name for file in cases.glob("*/expected.txt")]
    assert len(found) >= 70
    assert [n for n in found if REFERENCE in (cases / n / "expected.txt").read_text("utf-8")] == []
