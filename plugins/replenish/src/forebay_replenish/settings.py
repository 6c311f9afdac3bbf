"""What a person sets, checked.

Owns the shape of `[plugins.NAME.settings]`. Every fault is told with its place and what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay_plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping

NS = 1_000_000_000
_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|min|h|d)$")


@dataclass(frozen=True)
class Plan:
    """One container.

    Attributes:
        empty: level at which nothing is left.
        refill: a rise of at least this is a refill.
        least: at this level or under it a transport is called at any rate; None: by rate only.
        lead_ns, safety_ns: what a transport takes, and the time in hand.
        memory_ns: so far back the rate is looked at; `sample_ns`: one point for so much time.
        stale_ns: without a good level for longer, nothing is known.
        answer_ns: a call that nobody accepts is called again; `arrival_ns`: one that was accepted
            and does not arrive. 0: never.
        calls: most calls for one need.
        accepted, arrived, cancelled: tags of the transport system; empty if there are none.
    """

    empty: float
    refill: float
    least: float | None
    lead_ns: int
    safety_ns: int
    memory_ns: int
    sample_ns: int
    stale_ns: int
    answer_ns: int
    arrival_ns: int
    calls: int
    accepted: str
    arrived: str
    cancelled: str


def understand(settings: Mapping[str, Any], tags: list[str]) -> Plan:
    """Read the settings.

    Raises:
        PluginError: something is wrong with them; its place and what to do.
    """
    given = dict(settings)
    least = given.pop("least", None)
    plan = Plan(
        _number("empty", given.pop("empty", 0.0)),
        _number("refill", given.pop("refill", 0.0)),
        None if least is None else _number("least", least),
        _duration("lead", given.pop("lead", "10 min")),
        _duration("safety", given.pop("safety", "5 min")),
        _duration("memory", given.pop("memory", "30 min")),
        _duration("sample", given.pop("sample", "15 s")),
        _duration("stale", given.pop("stale", "1 min")),
        _duration("answer", given.pop("answer", "2 min")),
        _duration("arrival", given.pop("arrival", "30 min")),
        _count(given.pop("calls", 3)),
        _tag("accepted", given.pop("accepted", ""), tags),
        _tag("arrived", given.pop("arrived", ""), tags),
        _tag("cancelled", given.pop("cancelled", ""), tags),
    )
    for key in given:
        raise PluginError(f"settings.{key} is unknown; take it out, or look for it in the README")
    if plan.refill <= 0:
        raise PluginError("settings.refill must be over 0: the smallest rise that is a refill")
    if plan.sample_ns <= 0 or not 8 <= plan.memory_ns // plan.sample_ns <= 400:
        raise PluginError("settings.memory must hold 8 to 400 times settings.sample")
    return plan


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PluginError(f"settings.{key} must be a number")
    return float(value)


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= 100:
        raise PluginError("settings.calls must be a whole number from 1 to 100")
    return value


def _duration(key: str, value: object) -> int:
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return round(float(match[1]) * _UNITS_S[match[2]] * NS)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return round(value * NS)
    raise PluginError(f'settings.{key} is no duration; write for example "90 s" or "10 min"')


def _tag(key: str, value: object, tags: list[str]) -> str:
    if not isinstance(value, str):
        raise PluginError(f"settings.{key} must be DEVICE/TAG")
    if value and value not in tags:
        raise PluginError(f"settings.{key} names {value}: add it to inputs.answers")
    return value
