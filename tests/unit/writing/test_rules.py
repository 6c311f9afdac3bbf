"""Everything that no rule allows is refused, and a second rule never allows more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from forebay.clock import Reading
from forebay.settings import TagSettings
from forebay.writing.audit import INTENT, Deed
from forebay.writing.rules import (
    MAX_PACED,
    Action,
    Allowed,
    Ask,
    Denied,
    Pace,
    decide,
    recall,
)
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


def ask(item: str, *values: Value, action: Action = Action.WRITE, who: str = "uid:7") -> Ask:
    return Ask(action, "press", item, values, "id-1", who)


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


@pytest.mark.parametrize(
    ("by", "allowed"),
    [
        (None, {"uid:0", "uid:7"}),
        (["operator"], {"uid:0", "uid:7"}),
        (["uid:7"], {"uid:7"}),
        (["plugin:pump"], {"plugin:pump"}),
        (["plugin:*"], {"plugin:pump", "plugin:pumps"}),
        (["uid:0", "plugin:pumps"], {"uid:0", "plugin:pumps"}),
    ],
)
def test_a_rule_is_for_those_whom_it_names_alone(by: list[str] | None, allowed: set[str]) -> None:
    rule = ALL if by is None else {**ALL, "by": by}
    for who in ("uid:0", "uid:7", "plugin:pump", "plugin:pumps", "control socket", "operator*", ""):
        verdict = decided(settings(rule), ask("Setpoint", 1, who=who))
        assert isinstance(verdict, Allowed) is (who in allowed), who
        if isinstance(verdict, Denied):
            assert who in verdict.hint


def test_each_caller_is_held_by_the_rules_for_it_and_to_their_rate() -> None:
    rules = settings(
        {**ALL, "rate": "1/h"}, {**ALL, "by": ["plugin:pump"], "max": 5, "rate": "1/h"}
    )
    pace = Pace()
    assert isinstance(decided(rules, ask("Setpoint", 9, who="plugin:pump"), pace), Denied)
    assert isinstance(decided(rules, ask("Setpoint", 4, who="plugin:pump"), pace), Allowed)
    assert isinstance(decided(rules, ask("Setpoint", 4, who="plugin:pump"), pace), Denied)
    assert isinstance(decided(rules, ask("Setpoint", 9), pace), Allowed)


@pytest.mark.parametrize("by", [[], ["uid:x"], ["root"], ["plugin:"], ["plugin:a b"], ["uid:7 8"]])
def test_nobody_and_what_is_no_caller_cannot_be_written(by: list[str]) -> None:
    with pytest.raises(ValidationError):
        settings({**ALL, "by": by})


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


@pytest.mark.parametrize(
    ("of", "scale", "value", "rule"),
    [
        ("uint16", 1e6, 1, {"min": 1, "max": 5}),
        ("uint16", 1e6, 1, {"values": [1]}),
        ("int32", 1, 0.9999995, {"min": 0, "max": 0.9999995}),
        ("uint16", 1, 5e-7, {"min": 1e-7, "max": 1}),
        ("int32", 1, 99_999.99999999, {"min": 0, "max": 99_999.99999999}),
        ("int32", 1, 99_999.99999999, {"values": [99_999.99999999]}),
        ("float32", 1, 16_777_219, {"values": [16_777_219]}),
    ],
)
def test_a_value_that_would_leave_the_range_on_its_way_is_refused(
    of: str, scale: float, value: float, rule: dict[str, object]
) -> None:
    assert isinstance(typed(of, scale, value, rule), Denied)


@pytest.mark.parametrize(
    ("scale", "value", "rule", "sent"),
    [
        (1, 16_777_219, {"min": 0, "max": 16_777_219}, 16_777_218.0),
        (1, 99.99999999, {"min": 0, "max": 99.99999999}, 99.99999),
        (1, 0.1, {"min": 0.1, "max": 0.1}, 0.1),
        (1, 42.3, {"values": [42.3]}, 42.3),
        (0.1, 80.0, {"min": 0, "max": 80}, 800.0),
        (0.7, 42.3, {"values": [42.3]}, 60.42857),
        (0.7, 42.3, {"min": 42.3, "max": 50}, 60.428574),
    ],
)
def test_a_float_is_rounded_to_its_type_within_the_range(
    scale: float, value: float, rule: dict[str, object], sent: float
) -> None:
    allowed = typed("float32", scale, value, rule)
    assert isinstance(allowed, Allowed)
    assert np.float32(allowed.values[0]) == np.float32(sent)


def typed(of: str, scale: float, value: float, rule: dict[str, object]) -> object:
    tag = TagSettings.model_validate(
        {"name": "a", "address": "1", "type": of, "access": "read_write", "scale": scale}
    )
    rules = settings({"tags": ["press/a"], **rule})
    return decide(ask("a", value), rules, {"a": tag}, Pace(), 0.0)


HOUR_NS = 3_600 * 10**9
NOW_NS = 500_000 * HOUR_NS


@pytest.mark.parametrize(
    ("hours_ago", "synced", "waits_h"),
    [
        ((30,), True, 0),
        ((23,), True, 1),
        ((30, 5), True, 19),
        ((30,), False, 24),
        ((-2,), True, 24),
        ((-2, 30), True, 24),
        ((20, 400_000), True, 4),
        ((), False, 0),
    ],
)
def test_the_rate_holds_over_a_restart(
    hours_ago: tuple[int, ...],
    synced: bool,  # noqa: FBT001 - a parameter of the table
    waits_h: int,
) -> None:
    pace, rules = Pace(), settings({**ALL, "rate": "1/d"})
    intents = [
        (Deed(f"w{n}", INTENT, "write", "press/Setpoint", "1", "uid:7", ""), NOW_NS - h * HOUR_NS)
        for n, h in enumerate(hours_ago)
    ]
    recall(pace, rules, intents, Reading(NOW_NS, 1, synced, 0), 50.0)
    rule = rules.allow[0]
    assert pace.wait_s(0, rule, "press/Setpoint", 50.0) == waits_h * 3_600
    assert pace.wait_s(0, rule, "press/Other", 50.0) == 0
    assert isinstance(decided(rules, ask("Setpoint", 1), pace, 50.0), Denied) is (waits_h > 0)
    assert isinstance(decided(rules, ask("Setpoint", 1), pace, 50.0 + 86_400), Allowed)


def test_calls_of_earlier_runs_count_for_the_rules_of_methods_alone() -> None:
    pace, rules = Pace(), settings({"methods": ["press/*"], "rate": "1/d"}, {**ALL, "rate": "1/d"})
    deed = Deed("w1", INTENT, "call", "press/Setpoint", "[]", "uid:7", "")
    recall(pace, rules, [(deed, NOW_NS)], Reading(NOW_NS, 1, True, 0), 50.0)  # noqa: FBT003 - synced
    assert isinstance(decided(rules, ask("Setpoint", action=Action.CALL), pace, 51.0), Denied)
    assert isinstance(decided(rules, ask("Setpoint", 1), pace, 51.0), Allowed)
