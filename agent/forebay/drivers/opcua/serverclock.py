"""Tells once when a server's clock is wrong, and once when it is right again.

Owns the comparison. Must not know how the time was read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from forebay.events import SERVER_CLOCK_OFF, SERVER_CLOCK_RIGHT

if TYPE_CHECKING:
    from forebay.events import Events


class ServerClock:
    """The clock of one server."""

    def __init__(self, device: str, tolerance_s: float, events: Events) -> None:
        """Take the clock for right."""
        self._device, self._tolerance_s, self._events = device, tolerance_s, events
        self._off = False

    def note(self, time: object, our_ns: int) -> None:
        """Take in that the server had `time` (a datetime in UTC) when our wall clock had `our_ns`.

        Anything else than a datetime is no statement.
        """
        if not isinstance(time, datetime):
            return
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        ahead_s = (aware - datetime.fromtimestamp(our_ns / 1e9, UTC)).total_seconds()
        off = abs(ahead_s) > self._tolerance_s
        if off and not self._off:
            self._events.emit(
                SERVER_CLOCK_OFF,
                device=self._device,
                ahead_s=round(ahead_s, 1),
                hint="set the server's clock or ours; until then timestamps = 'gateway' dates "
                "values by ours",
            )
        if self._off and not off:
            self._events.emit(SERVER_CLOCK_RIGHT, device=self._device, ahead_s=round(ahead_s, 1))
        self._off = off
