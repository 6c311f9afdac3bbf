"""What a person sets: expressions and alarms, checked and understood as a whole.

Owns the shape of `[plugins.NAME.settings]`. Every fault is told with its place and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from forebay_plugin import Kind, PluginError
from forebay_rules.alarms import Manner
from forebay_rules.durations import duration_ns
from forebay_rules.expression import Expression, ExpressionError, compile_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from forebay_plugin import Setup

RULES_MAX = 256
PRIORITIES = {"critical": 900, "high": 700, "medium": 500, "low": 300, "diagnostic": 100}
"""Severity of an event, 1 to 1000 as OPC UA has it (Part 5, 6.4.2)."""
_CONDITION_KEYS = frozenset(("when", "clear", "value", "high", "low", "deadband"))
_ALARM_KEYS = _CONDITION_KEYS | {
    "acknowledge",
    "latched",
    "off_delay",
    "on_delay",
    "out_of_service",
    "priority",
    "shelved_until",
    "suppress",
    "text",
}
_KEYS = frozenset(
    [
        "when",
        "clear",
        "value",
        "high",
        "low",
        "deadband",
        "on_delay",
        "off_delay",
        "priority",
        "text",
        "latched",
        "acknowledge",
        "suppress",
        "shelved_until",
        "out_of_service",
    ]
)
_KEYS = frozenset(
    (
        "aliases",
        "expressions",
        "alarms",
        "acknowledge",
        "suppress",
        "stale",
        "repeat",
        "good_part",
    )
)


@dataclass(frozen=True)
class Alarm:
    """One alarm, understood.

    Attributes:
        when: raises it. `clear` lets it return: by default, what raises it does not hold.
        on_delay_ns: how long `when` must hold; `off_delay_ns` the same for `clear`.
        shelved_until_ns: it is shelved before that time; 0 if it is not.
    """

    name: str
    when: Expression
    clear: Expression | None
    acknowledge: Expression | None
    suppress: Expression | None
    manner: Manner
    text: str
    priority: str
    on_delay_ns: int = 0
    off_delay_ns: int = 0
    shelved_until_ns: int = 0
    out_of_service: bool = False

    @property
    def at_end(self) -> bool:
        """Whether it is judged at a window's end only: one of its expressions is."""
        mine = (self.when, self.clear, self.acknowledge, self.suppress)
        return any(one.at_end for one in mine if one is not None)


@dataclass(frozen=True)
class Settings:
    """All rules of one instance."""

    expressions: Mapping[str, Expression]
    alarms: Mapping[str, Alarm]
    stale_ns: int
    repeat_ns: int
    good_part: float

    def keys(self) -> frozenset[str]:
        """Every key that expressions may keep something under."""
        return frozenset(key for one in self._all() for key in one.keys)

    def tags(self) -> frozenset[str]:
        """Every tag that is needed."""
        return frozenset(tag for one in self._all() for tag in one.tags)

    def _all(self) -> list[Expression]:
        mine = [*self.expressions.values()]
        for alarm in self.alarms.values():
            parts = (alarm.when, alarm.clear, alarm.acknowledge, alarm.suppress)
            mine.extend(one for one in parts if one is not None)
        return mine


def understand(setup: Setup) -> Settings:
    """Read the settings.

    Raises:
        PluginError: something is wrong with them; its place and what to do.
    """
    given, place = setup.settings, f"plugins.{setup.plugin}.settings"
    _only(given, _KEYS, place)
    tags = setup.tags("tags")
    aliases = _aliases(given.get("aliases", {}), tags, place)

    def compiled(text: object, where: str) -> Expression:
        if not isinstance(text, str):
            raise PluginError(f"{place}.{where}: {text!r} is no text of an expression")
        try:
            return compile_expression(text, tags, aliases, where)
        except ExpressionError as wrong:
            raise PluginError(f"{place}.{where}: {wrong}") from wrong

    texts, tables = _table(given, "expressions", place), _table(given, "alarms", place)
    if len(texts) + len(tables) > RULES_MAX:
        raise PluginError(f"{place}: {len(texts) + len(tables)} rules; {RULES_MAX} at most")
    if both := sorted(texts.keys() & tables.keys()):
        raise PluginError(f"{place}: {both[0]} is both an expression and an alarm: rename one")
    _declared(setup, texts.keys(), bool(tables))
    shared = {key: given[key] for key in ("acknowledge", "suppress") if key in given}
    good_part = given.get("good_part", 1.0)
    if not isinstance(good_part, int | float) or not 0 < good_part <= 1:
        raise PluginError(f"{place}.good_part: {good_part!r} is not over 0 and at most 1")
    return Settings(
        {name: compiled(text, f"expressions.{name}") for name, text in texts.items()},
        {
            name: _alarm(name, shared | _dict(table, f"{place}.alarms.{name}"), compiled, place)
            for name, table in tables.items()
        },
        _duration(given, "stale", place),
        _duration(given, "repeat", place),
        float(good_part),
    )


def _declared(setup: Setup, expressions: Sequence[str] | Any, alarms: bool) -> None:  # noqa: ANN401, FBT001 - keys of a table
    outputs = {output.name: output for output in setup.outputs}
    for name in expressions:
        if name not in outputs:
            raise PluginError(
                f"the expression {name} has no output: "
                f'add [plugins.{setup.plugin}.outputs.{name}] with type = "float64" or "bool"'
            )
        if outputs[name].kind not in (Kind.TAG, Kind.WRITE) or not outputs[name].type.is_number:
            raise PluginError(f"output {name}: an expression gives numbers, for a tag or a write")
    if alarms and not any(output.kind is Kind.EVENT for output in setup.outputs):
        raise PluginError("alarms need an output of kind event")


def _aliases(given: object, tags: Sequence[str], place: str) -> Mapping[str, str]:
    if not isinstance(given, dict) or not all(isinstance(tag, str) for tag in given.values()):
        raise PluginError(f'{place}.aliases: write NAME = "DEVICE/TAG"')
    for name, tag in given.items():
        if not name.isidentifier():
            raise PluginError(f"{place}.aliases: {name!r} is no name: letters, digits and _")
        if tag not in tags:
            raise PluginError(
                f"{place}.aliases.{name}: {tag!r} is not among the inputs; "
                "add it to inputs.tags of this plugin"
            )
    return given


def _alarm(
    name: str, table: Mapping[str, Any], compiled: Callable[[object, str], Expression], place: str
) -> Alarm:
    where = f"alarms.{name}"
    _only(table, _ALARM_KEYS, f"{place}.{where}")
    when, clear = _condition(table, f"{place}.{where}")
    priority = table.get("priority", "medium")
    if priority not in PRIORITIES:
        known = ", ".join(PRIORITIES)
        raise PluginError(f"{place}.{where}.priority: {priority!r} is not of {known}")

    def optional(key: str) -> Expression | None:
        return compiled(table[key], f"{where}.{key}") if table.get(key) else None

    acknowledge = table.get("acknowledge")
    latched = table.get("latched", False) is True
    if latched and not acknowledge:
        raise PluginError(f"{place}.{where}: latched, and nothing acknowledges it: it would stay")
    return Alarm(
        name=name,
        when=compiled(when, f"{where}.when"),
        clear=compiled(clear, f"{where}.clear") if clear else None,
        acknowledge=optional("acknowledge"),
        suppress=optional("suppress"),
        manner=Manner(latched=latched, acknowledged=bool(acknowledge)),
        text=str(table.get("text", name))[:500],
        priority=priority,
        on_delay_ns=_duration(table, "on_delay", f"{place}.{where}"),
        off_delay_ns=_duration(table, "off_delay", f"{place}.{where}"),
        shelved_until_ns=_moment(table, f"{place}.{where}"),
        out_of_service=table.get("out_of_service", False) is True,
    )


def _condition(table: Mapping[str, Any], place: str) -> tuple[str, str | None]:
    """What raises and clears: `when` and `clear`, or a `value` with a limit and a deadband."""
    if "value" not in table:
        if "when" not in table or table.keys() & {"high", "low", "deadband"}:
            raise PluginError(f"{place}: write either when, or value with high or low")
        return table["when"], table.get("clear")
    limits = table.keys() & {"high", "low"}
    if len(limits) != 1 or table.keys() & {"when", "clear"}:
        raise PluginError(f"{place}: value needs one of high and low, and neither when nor clear")
    side = limits.pop()
    value, limit, band = table["value"], table[side], table.get("deadband", 0.0)
    if not all(isinstance(one, int | float) for one in (limit, band)) or band < 0:
        raise PluginError(f"{place}: {side} and deadband are numbers, deadband from 0 on")
    if side == "high":
        return f"({value}) > {limit!r}", f"({value}) <= {limit - band!r}"
    return f"({value}) < {limit!r}", f"({value}) >= {limit + band!r}"


def _moment(table: Mapping[str, Any], place: str) -> int:
    given = table.get("shelved_until")
    if given is None:
        return 0
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError as wrong:
        raise PluginError(f"{place}.shelved_until: {given!r} is no date and time") from wrong
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000_000


def _duration(table: Mapping[str, Any], key: str, place: str) -> int:
    try:
        return duration_ns(table.get(key, 0))
    except ValueError as wrong:
        raise PluginError(f"{place}.{key}: {wrong}") from wrong


def _table(given: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    return _dict(given.get(key, {}), f"{place}.{key}")


def _dict(given: object, place: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise PluginError(f"{place} is no table")
    return given


def _only(given: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    if unknown := sorted(given.keys() - known):
        raise PluginError(f"{place}.{unknown[0]}: unknown; there is {', '.join(sorted(known))}")
