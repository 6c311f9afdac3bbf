"""What a person sets: the recipe of a station, checked and understood as a whole.

Owns the shape of `[plugins.NAME.settings]`. Every fault is told with its place and what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay_plugin import PluginError
from forebay_sequence.torque import Band, Envelope, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STEPS_MAX, CHECKS_MAX, CHARACTERS_MAX = 64, 16, 1000
NS = 1_000_000_000
_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|min|h)$")
Value = float | str


@dataclass(frozen=True)
class Condition:
    """True while a tag holds one of `among`; without these, while it is not zero or empty."""

    tag: str
    among: tuple[Value, ...] = ()

    def of(self, value: Value | None) -> bool | None:
        """Judge a value; None if there is none."""
        if value is None:
            return None
        return value in self.among if self.among else value not in (0.0, "")


@dataclass(frozen=True)
class Range:
    """A tag's value in limits: its last in the step, or every one."""

    tag: str
    band: Band
    every: bool


@dataclass(frozen=True)
class Part:
    """A part number that was read: of a form, of the list of the order, not used before."""

    tag: str
    form: re.Pattern[str] | None
    order: str
    parts: Mapping[str, tuple[str, ...]]
    once: bool


@dataclass(frozen=True)
class Counter:
    """How far a counter goes on in the step; `wrap`: it begins with 0 again there."""

    tag: str
    band: Band
    wrap: float


@dataclass(frozen=True)
class Curve:
    """The tags of a tightening curve, and its limits."""

    torque: str
    angle: str
    limits: Limits


Check = Range | Part | Counter | Curve


@dataclass(frozen=True)
class Step:
    """One step of the recipe.

    Attributes:
        begin: its trigger. `end` is None where it ends when `begin` no longer holds.
        after: names of steps that must be done before it.
        least_ns, most_ns: how long it may take; 0: any time.
        runs: so often it may be done, until it is well.
    """

    name: str
    begin: Condition
    end: Condition | None
    after: tuple[str, ...]
    least_ns: int
    most_ns: int
    optional: bool
    runs: int
    checks: Mapping[str, Check]

    def tags(self) -> frozenset[str]:
        """Tags whose values are judged while the step is under way."""
        found: set[str] = set()
        for check in self.checks.values():
            found |= {check.torque, check.angle} if isinstance(check, Curve) else {check.tag}
            if isinstance(check, Part) and check.order:
                found.add(check.order)
        return frozenset(found)


@dataclass(frozen=True)
class Recipe:
    """One station.

    Attributes:
        serial: tag with the unit's serial number.
        start: begins a unit; None: a new serial number does.
        done: ends it; None: its last step does.
        most_ns: longest time for a unit; silence_ns: longest without any data in a unit. 0: any.
        hold: verdicts that hold the line.
        reset: lets it go.
        state: tag that says whether the device holds; empty if there is none.
        again_ns: so often it is asked again while the device does not say that it holds; 0: never.
    """

    serial: str
    start: Condition | None
    done: Condition | None
    most_ns: int
    silence_ns: int
    steps: Mapping[str, Step]
    hold: frozenset[str]
    reset: Condition | None
    state: str
    again_ns: int

    def triggers(self) -> frozenset[str]:
        """Tags that must be known all the time while a unit is under way."""
        conditions = [self.start, self.done, *(step.begin for step in self.steps.values())]
        conditions += [step.end for step in self.steps.values()]
        return frozenset({self.serial, *(one.tag for one in conditions if one is not None)})

    def tags(self) -> frozenset[str]:
        """All tags that it looks at."""
        more = {self.state} - {""} | ({self.reset.tag} if self.reset else set())
        return self.triggers().union(more, *(step.tags() for step in self.steps.values()))


class _Table:
    """One table, of which every key must be asked for; the rest is told at the end."""

    def __init__(self, given: object, place: str) -> None:
        if not isinstance(given, dict):
            raise PluginError(f"{place} must be a table")
        self._given, self.place = dict(given), place

    def take(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - what TOML holds
        return self._given.pop(key, default)

    def wrong(self, key: str, what: str) -> PluginError:
        return PluginError(f"{self.place}.{key} {what}")

    def end(self) -> None:
        for key in self._given:
            raise self.wrong(key, "is unknown; take it out, or look for it in the README")

    def text(self, key: str, *, needed: bool = False) -> str:
        value = self.take(key, "")
        if not isinstance(value, str) or len(value) > CHARACTERS_MAX or (needed and not value):
            raise self.wrong(key, f"must be a text of 1 to {CHARACTERS_MAX} characters")
        return value

    def number(self, key: str, default: float | None) -> float | None:
        value = self.take(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "must be a number")
        return float(value)

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        value = self.take(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}")
        return value

    def flag(self, key: str) -> bool:
        value = self.take(key, default=False)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def band(self, key: str) -> Band | None:
        value = self.take(key)
        if value is None:
            return None
        try:
            low, high = (float(one) for one in value)
        except (TypeError, ValueError):
            raise self.wrong(key, "must be [least, most]") from None
        if low > high:
            raise self.wrong(key, "has its least over its most; turn them round")
        return low, high

    def duration(self, key: str, default: str = "0 s") -> int:
        value = self.take(key, default)
        if isinstance(value, str) and (match := _DURATION.match(value.strip())):
            return round(float(match[1]) * _UNITS_S[match[2]] * NS)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            return round(value * NS)
        raise self.wrong(key, 'is no duration; write for example "250 ms" or "5 s"')

    def condition(self, key: str) -> Condition | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, str):
            return Condition(value)
        table = _Table(value, f"{self.place}.{key}")
        held = table.take("is", [])
        listed = held if isinstance(held, list) else [held]
        if any(not isinstance(one, str | int | float) for one in listed):
            raise table.wrong("is", "must be a value, or a list of values")
        tag = table.text("tag", needed=True)
        table.end()
        return Condition(tag, tuple(one if isinstance(one, str) else float(one) for one in listed))


def understand(settings: Mapping[str, Any], tags: list[str]) -> Recipe | None:
    """Read the settings; None if there is no recipe in them yet.

    Raises:
        PluginError: something is wrong with them; its place and what to do.
    """
    top = _Table(dict(settings), "settings")
    steps = _steps(top.take("steps", []))
    serial = top.text("serial")
    if not steps and not serial:
        top.end()
        return None
    if not steps or not serial:
        raise PluginError("settings need both: serial, a tag, and [[settings.steps]]")
    hold = top.take("hold", ["NOK", "UNKNOWN"])
    if not isinstance(hold, list) or not set(hold) <= {"NOK", "UNKNOWN"}:
        raise top.wrong("hold", 'must be a list of "NOK" and "UNKNOWN"')
    recipe = Recipe(
        serial,
        top.condition("start"),
        top.condition("done"),
        top.duration("most"),
        top.duration("silence"),
        steps,
        frozenset(hold),
        top.condition("reset"),
        top.text("state"),
        top.duration("again", "10 s"),
    )
    top.end()
    absent = sorted(recipe.tags() - set(tags))
    if absent:
        raise PluginError(f"settings name {absent[0]}, which is not among inputs.tags: add it")
    return recipe


def _steps(given: object) -> dict[str, Step]:
    if not isinstance(given, list) or len(given) > STEPS_MAX:
        raise PluginError(f"settings.steps must be a list of at most {STEPS_MAX} tables")
    found: dict[str, Step] = {}
    for index, one in enumerate(given):
        step = _step(_Table(one, f"settings.steps[{index}]"), list(found))
        if step.name in found:
            raise PluginError(f"settings.steps: two are named {step.name}; rename one")
        found[step.name] = step
    for step in found.values():
        unknown = [name for name in step.after if name not in found or name == step.name]
        if unknown:
            raise PluginError(f"settings.steps: {step.name} is after {unknown[0]}: no such step")
    return found


def _step(table: _Table, before: list[str]) -> Step:
    name, begin = table.text("name", needed=True), table.condition("begin")
    if begin is None:
        raise table.wrong("begin", "is missing: the tag that says when the step begins")
    after = table.take("after", before[-1:])
    if not isinstance(after, list) or not all(isinstance(one, str) for one in after):
        raise table.wrong("after", "must be a list of names of steps; [] for any time")
    checks = table.take("checks", {})
    if not isinstance(checks, dict) or len(checks) > CHECKS_MAX:
        raise table.wrong("checks", f"must be at most {CHECKS_MAX} tables by name")
    place = f"{table.place}.checks"
    step = Step(
        name,
        begin,
        table.condition("end"),
        tuple(after),
        table.duration("least"),
        table.duration("most"),
        table.flag("optional"),
        table.whole("runs", 1, 1, 100),
        {key: _check(_Table(one, f"{place}.{key}")) for key, one in checks.items()},
    )
    table.end()
    return step


def _check(table: _Table) -> Check:
    kind = table.text("kind", needed=True)
    if kind not in _KINDS:
        raise table.wrong("kind", "must be range, part, counter or curve")
    check = _KINDS[kind](table)
    table.end()
    return check


def _range(table: _Table) -> Range:
    low, high = table.number("min", float("-inf")), table.number("max", float("inf"))
    assert low is not None
    assert high is not None
    return Range(table.text("tag", needed=True), (low, high), table.flag("every"))


def _part(table: _Table) -> Part:
    text, listed = table.text("form"), _Table(table.take("parts", {}), f"{table.place}.parts")
    try:
        form = re.compile(text) if text else None
    except re.error as wrong:
        raise table.wrong("form", f"is no regular expression: {wrong}") from None
    parts = {key: listed.take(key) for key in list(listed._given)}  # noqa: SLF001 - of this module
    if any(not isinstance(one, list) for one in parts.values()):
        raise table.wrong("parts", "must hold a list of part numbers for each order")
    order = table.text("order")
    if bool(order) != bool(parts):
        raise table.wrong("parts", "and order, the tag with the order's number, need each other")
    named = {key: tuple(str(one) for one in some) for key, some in parts.items()}
    return Part(table.text("tag", needed=True), form, order, named, table.flag("once"))


def _counter(table: _Table) -> Counter:
    by, wrap = table.number("by", None), table.number("wrap", 0.0)
    band = (by, by) if by is not None else table.band("between")
    if band is None or wrap is None:
        raise table.wrong("by", "is missing: how far it must go on, or between = [least, most]")
    return Counter(table.text("tag", needed=True), band, wrap)


def _curve(table: _Table) -> Curve:
    snug = table.number("snug", None)
    if snug is None:
        raise table.wrong("snug", "is missing: the torque from which the angle counts")
    yielding = table.text("yield") or "ignore"
    if yielding not in ("ignore", "forbid", "require"):
        raise table.wrong("yield", "must be ignore, forbid or require")
    limits = Limits(
        snug,
        table.band("final_torque"),
        table.band("final_angle"),
        table.number("prevailing", None),
        table.number("drop", None),
        yielding,
        table.number("yield_part", 0.5) or 0.5,
        table.number("slope_span", 5.0) or 5.0,
        table.whole("points", 10, 3, 4000),
        _envelope(table),
    )
    return Curve(table.text("torque", needed=True), table.text("angle", needed=True), limits)


def _envelope(table: _Table) -> Envelope | None:
    given = table.take("envelope")
    if given is None:
        return None
    inner = _Table(given, f"{table.place}.envelope")
    points = inner.take("points", [])
    teach = inner.whole("teach", 0, 0, 10_000)
    span = inner.number("span", None)
    if span is None or span <= 0:
        raise inner.wrong("span", "is missing: the angle from snug over which it is compared")
    if bool(points) == bool(teach) or teach == 1:
        raise inner.wrong("teach", "must be 2 curves or more, or give points; not both")
    try:
        held = tuple((float(angle), float(torque)) for angle, torque in points)
    except (TypeError, ValueError):
        raise inner.wrong("points", "must be a list of [angle, torque]") from None
    sigma, least = inner.number("sigma", 4.0), inner.number("least", 0.0)
    outside = inner.number("outside", 0.1)
    assert sigma is not None
    assert least is not None
    assert outside is not None
    inner.end()
    return Envelope(span, teach, held, sigma, least, outside)


_KINDS: Mapping[str, Callable[[_Table], Check]] = {
    "range": _range,
    "part": _part,
    "counter": _counter,
    "curve": _curve,
}
