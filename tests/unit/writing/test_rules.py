"""Everything that no rule allows is refused, and a second rule never allows more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from forebay.settings import TagSettings
from forebay.writing.rules import MAX_PACED, Action, Allowed, Ask, Denied, Pace, decide
from forebay.writing.settings import WriteRule, WritesSettings, parse_frequency

if TYPE_CHECKING:
    from forebay.interfaces import Value

TAGS = {
    name: TagSettings.model_validate(
        {"name": name, "address": "1", "type": of, "access": access, "scale": scale}
    )
    for name, of, access, scale in (
        ("Setpoint", "int16", "read_write", 0.1),
        ("Mode", "string", "read_write", 1),
        ("Run", "bool", "write", 1),
        ("Pressure", "float32", "read", 1),
        ("Temps[0]", "int16", "read_write", 1),
    )
}


def settings(*rules: dict[str, object], enabled: bool = True) -> WritesSettings:
    return WritesSettings.model_validate({"enabled": enabled, "allow": rules})


def ask(item: str, *values: Value, action: Action = Action.WRITE) -> Ask:
    return Ask(action, "press", item, values, "id-1", "a test")


def decided(of: WritesSettings, what: Ask, pace: Pace | None = None, now_s: float = 0.0) -> object:
    return decide(what, of, TAGS, pace or Pace(), now_s)


ALL = {"tags": ["*/*"], "min": -1000, "max": 1000, "rate": "100/s"}


def test_nothing_is_allowed_until_it_is() -> None:
    off = decided(settings(ALL, enabled=False), ask("Setpoint", 1))
    assert isinstance(off, Denied)
    assert "off" in off.detail
    for rules in ((), ({"tags": ["oven/*"]},), ({"methods": ["press/*"]},)):
        none = decided(settings(*rules), ask("Setpoint", 1))
        assert isinstance(none, Denied)
        assert "no rule" in none.detail


def test_what_is_allowed_goes_out_raw() -> None:
    assert decided(settings(ALL), ask("Setpoint", 42.3)) == Allowed((423,))
    assert decided(settings(ALL), ask("Run", True)) == Allowed((True,))  # noqa: FBT003 - a value


def test_a_tag_that_may_only_be_read_is_not_written_whatever_a_rule_says() -> None:
    denied = decided(settings(ALL), ask("Pressure", 1.0))
    assert isinstance(denied, Denied)
    assert "only be read" in denied.detail


@pytest.mark.parametrize(("value", "allowed"), [(0, True), (80, True), (80.1, False), (-1, False)])
def test_limits_are_those_that_readers_see(value: float, *, allowed: bool) -> None:
    rule = {"tags": ["press/Setpoint"], "min": 0, "max": 80}
    assert isinstance(decided(settings(rule), ask("Setpoint", value)), Allowed) is allowed


def test_a_second_rule_never_allows_more() -> None:
    narrow = {"tags": ["press/Setpoint"], "min": 0, "max": 80}
    for rules in ((narrow, ALL), (ALL, narrow)):
        assert isinstance(decided(settings(*rules), ask("Setpoint", 81)), Denied)
        assert isinstance(decided(settings(*rules), ask("Setpoint", 79)), Allowed)


def test_only_the_listed_values_and_true_is_not_one() -> None:
    rule = {"tags": ["press/*"], "values": ["auto", "manual", 1]}
    assert isinstance(decided(settings(rule), ask("Mode", "auto")), Allowed)
    denied = decided(settings(rule), ask("Mode", "off"))
    assert isinstance(denied, Denied)
    assert '"auto", "manual"' in denied.hint
    assert isinstance(decided(settings(rule), ask("Run", True)), Denied)  # noqa: FBT003 - a value
    assert isinstance(decided(settings(rule), ask("Setpoint", 1)), Allowed)


def test_a_pattern_that_is_the_name_itself_needs_no_escape() -> None:
    rule = {"tags": ["press/Temps[0]"], "min": 0, "max": 9}
    assert isinstance(decided(settings(rule), ask("Temps[0]", 3)), Allowed)


def test_methods_have_rules_of_their_own() -> None:
    rules = settings({"methods": ["press/Start*"]})
    start = ask("StartBatch", 7, "red", action=Action.CALL)
    assert decided(rules, start) == Allowed((7, "red"))
    assert isinstance(decided(rules, ask("Stop", action=Action.CALL)), Denied)
    assert isinstance(decided(rules, ask("Setpoint", 1)), Denied)


def test_a_rate_counts_what_went_out_to_each_target() -> None:
    pace = Pace()
    rules = settings({**ALL, "rate": "2/10 s"})
    assert isinstance(decided(rules, ask("Setpoint", 1), pace, 0.0), Allowed)
    assert isinstance(decided(rules, ask("Setpoint", 2), pace, 4.0), Allowed)
    denied = decided(rules, ask("Setpoint", 3), pace, 5.0)
    assert isinstance(denied, Denied)
    assert denied.hint == "wait 5 s"
    assert isinstance(decided(rules, ask("Temps[0]", 3), pace, 5.0), Allowed)
    assert isinstance(decided(rules, ask("Setpoint", 3), pace, 10.0), Allowed)
    assert isinstance(decided(rules, ask("Setpoint", 3), pace, 13.0), Denied)


def test_what_is_refused_does_not_count_for_the_rate() -> None:
    pace = Pace()
    rules = settings({**ALL, "rate": "1/min"})
    assert isinstance(decided(rules, ask("Setpoint", 5000), pace, 0.0), Denied)
    assert isinstance(decided(rules, ask("Setpoint", 5), pace, 0.0), Allowed)


def test_the_pace_is_kept_of_a_bounded_number() -> None:
    pace, rules = Pace(), settings({"methods": ["press/*"], "rate": "1/d"})
    for number in range(MAX_PACED + 10):
        call = ask(f"m{number}", action=Action.CALL)
        assert isinstance(decided(rules, call, pace, 0.0), Allowed)
    assert len(pace._out) == MAX_PACED  # noqa: SLF001 - the bound is the point


@pytest.mark.parametrize(
    ("text", "times", "seconds"),
    [("1/s", 1, 1.0), ("10/min", 10, 60.0), ("1 / 30 s", 1, 30.0), ("3/h", 3, 3600.0)],
)
def test_rates_are_read(text: str, times: int, seconds: float) -> None:
    assert parse_frequency(text) == (times, seconds)


@pytest.mark.parametrize("text", ["", "often", "0/s", "1/0 s", "1000/s", "1 per s", "-1/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        WriteRule.model_validate({"tags": ["a/b"], "rate": text})
