"""How much is logged: what the configuration says, or for a while what somebody asked for.

Owns the end of that while. It survives nothing: an agent that begins anew logs as configured. Must
not know who asks, nor how a log is written.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, get_args

from forebay.config.model import LogSettings
from forebay.errors import RequestInvalid
from forebay.management.events import LOG_LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.interfaces import Seams

LEVELS: tuple[str, ...] = get_args(LogSettings.model_fields["level"].annotation)
USUAL_S, MOST_S = 1_800.0, 86_400.0


class LogLevel:
    """Of one agent. `run` until cancelled; `follow` when the configuration's own changes."""

    def __init__(
        self, configured: LogSettings, relog: Callable[[LogSettings], None], seams: Seams
    ) -> None:
        """Log as `configured`, which `relog` has seen to already."""
        self._configured, self._relog, self._seams = configured, relog, seams
        self._level, self._until_s = "", 0.0
        self._news = asyncio.Event()

    def follow(self, configured: LogSettings) -> None:
        """Log as another configuration says; what was asked for goes on until its end."""
        self._configured = configured
        self._apply()

    def ask(self, level: str, for_s: float) -> None:
        """Log from `level` on for `for_s` seconds (0: half an hour), then as configured.

        Raises:
            RequestInvalid: there is no such level, or it would be for longer than a day.
        """
        if level not in LEVELS:
            raise RequestInvalid(
                f"there is no level {level[:32]!r}", hint=f"levels are: {', '.join(LEVELS)}"
            )
        if not 0.0 <= for_s <= MOST_S:
            raise RequestInvalid("it is for a day at most", hint="write the level into [log]")
        self._level = level
        self._until_s = self._seams.clock.monotonic_s() + (for_s or USUAL_S)
        self._seams.events.emit(LOG_LEVEL, least=level, for_s=for_s or USUAL_S)
        self._apply()
        self._news.set()

    async def run(self) -> None:
        """Go back to what is configured when the time is over."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._level:
                left_s = self._until_s - self._seams.clock.monotonic_s()
                if left_s <= 0:
                    self._level = ""
                    self._apply()
                    self._seams.events.emit(LOG_LEVEL, least=self._configured.level, for_s=0.0)
                else:
                    await self._seams.clock.sleep(min(left_s, 60.0))

    def _apply(self) -> None:
        changed: dict[str, Any] = {"level": self._level} if self._level else {}
        self._relog(self._configured.model_copy(update=changed))
