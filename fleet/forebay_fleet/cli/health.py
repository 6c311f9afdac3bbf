"""What a person is shown of a box's health. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay_fleet.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 20
"""Parts that are not well, as far as they are named."""


def rows(health: Mapping[str, Any], setbacks: Iterable[tuple[int, str]]) -> list[tuple[str, str]]:
    """Give the lines of `show`: `health` is a Health as JSON, `setbacks` are of its journal."""
    full_s = float(health.get("journal_full_in_s", 0))
    forecast = f", full in {output.duration(round(full_s * 1e9))}" if full_s else ""
    behind = output.duration(round(float(health.get("buffer_s", 0)) * 1e9))
    parts = [one for one in health.get("components", []) if not one.get("healthy", False)]
    return [
        ("clock", health.get("clock", "-").lower()),
        ("journal", f"{behind} behind{forecast}" if health else "-"),
        *(("went back", f"{output.time(at_ns)}: {said}") for at_ns, said in setbacks),
        *((f"{one.get('kind')} {one.get('name')}", _ill(one)) for one in parts[:MOST]),
    ]


def _ill(one: Mapping[str, Any]) -> str:
    said = ": ".join(filter(None, (one.get("state"), one.get("error"))))
    hint = one.get("hint")
    return f"{said or 'not well'} ({hint})" if hint else said or "not well"
