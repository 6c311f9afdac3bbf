"""Renews what the server signs, as long as it runs, and says what only people can renew.

Owns the rhythm alone.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from forebay_fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_fleet.artifacts.published import Published

LOOK_S = 600.0
SOON_S = 30 * 86_400.0
"""How long before its end people are told of what they must sign anew."""

_log = structlog.get_logger()


async def keep(published: Published, stopping: asyncio.Event) -> None:
    """Look every ten minutes until `stopping` is set."""
    told: dict[str, str] = {}
    while not stopping.is_set():
        try:
            if await asyncio.to_thread(published.renew):
                _log.info("artifacts_renewed")
            told = _ending(await asyncio.to_thread(published.ending, SOON_S), told)
        except FleetError as error:
            _log.error("artifacts_not_renewed", error=str(error), hint=error.hint)
        try:
            await asyncio.wait_for(stopping.wait(), LOOK_S)
        except TimeoutError:
            continue


def _ending(ending: Mapping[str, datetime], told: Mapping[str, str]) -> dict[str, str]:
    """Log once a day what ends soon; give what was told, by its name."""
    day = datetime.now(UTC).date().isoformat()
    hint = "people sign them anew: forebay-fleet artifacts add or init, then sign, then publish"
    for name, end in ending.items():
        if told.get(name) != day:
            _log.warning("artifacts_end", role=name, ends=end.isoformat(), hint=hint)
    return dict.fromkeys(ending, day)
