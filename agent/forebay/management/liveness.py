"""Whether the agent does what it is there for, and what the service manager hears of it.

Owns the signs of progress, and the messages of sd_notify(3). Must not know devices, files or
units. A watchdog that is fed by a timer shows that a timer runs; this one is fed only while

- rows of polls still come: from any device, and whatever their quality says;
- what was accepted becomes durable, unless the journal has told why not: a restart mends no full
  disk, and an agent without a journal is meant to go on.

One device whose driver hangs is no reason to end the polls of all others: it shows in `devices`.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from cysystemd.daemon import Notification, notify

from forebay.events import AGENT_STALLED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay.interfaces import Seams

STALL_S = 60.0
"""The shortest time without a sign that is a stall: a memory card may take half a minute for one
flush, and a device's time-outs may add up."""
PERIODS = 3
"""Polls may miss so many of their shortest periods."""
LOOK_S = 5.0
"""The longest time between two looks."""
_STATUS_CHARACTERS = 200


class Signs(NamedTuple):
    """What shows that work goes on.

    `polls` and `commits` count since the start; `waiting` says whether anything is accepted and not
    yet durable; `trouble` why nothing can be. `period_s` is the shortest of all polls, None if
    nothing is polled.
    """

    polls: int
    commits: int
    waiting: bool
    trouble: str
    period_s: float | None


class Progress:
    """Compares signs with those before. Knows no clock: it is told the time."""

    def __init__(self) -> None:
        """Begin with the first look."""
        self._polls = self._commits = -1
        self._polled_s = self._committed_s = 0.0

    def stall(self, now_s: float, signs: Signs) -> str:
        """Give what stands still, in words; empty if nothing does."""
        if signs.polls != self._polls or signs.period_s is None:
            self._polls, self._polled_s = signs.polls, now_s
        if signs.commits != self._commits or not signs.waiting or signs.trouble:
            self._commits, self._committed_s = signs.commits, now_s
        most_s = max(STALL_S, PERIODS * (signs.period_s or 0.0))
        if now_s - self._polled_s > most_s:
            return f"no poll has ended for {now_s - self._polled_s:.0f} s"
        if now_s - self._committed_s > STALL_S:
            return f"nothing was committed for {now_s - self._committed_s:.0f} s, and some waits"
        return ""


class Manager:
    """The service manager that started this process, if one did. Its messages block for a moment.

    Raises nothing: who cannot be told is none.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find it in `environ` (sd_notify(3), sd_watchdog_enabled(3))."""
        self.listens = bool(environ.get("NOTIFY_SOCKET"))
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        ours = pid in ("", str(os.getpid()))
        self.watchdog_s = int(usec) / 1e6 if usec.isdecimal() and ours else 0.0
        """How often it must hear that all is well; 0 if it does not care."""

    async def tell(self, what: Notification, value: str = "") -> None:
        """Send one message, in a thread: a manager that does not read must not stop the polls."""
        if self.listens:
            words = (what, value) if value else (what,)
            await asyncio.to_thread(lambda: notify(*words))


class Liveness:
    """Tells the manager that the agent is ready, and then, as long as it is so, that it works."""

    def __init__(self, manager: Manager, look: Callable[[], Signs], seams: Seams) -> None:
        """Look at the signs that `look` gives."""
        self._manager, self._look, self._seams = manager, look, seams
        self._progress = Progress()
        self._told = ""

    async def run(self, status: str, stop: asyncio.Event) -> None:
        """Say READY, with `status` for people, then feed the watchdog until `stop` is set."""
        manager, clock = self._manager, self._seams.clock
        await manager.tell(Notification.STATUS, status[:_STATUS_CHARACTERS])
        await manager.tell(Notification.READY)
        pause_s = min(LOOK_S, manager.watchdog_s / 3 or LOOK_S)
        while not stop.is_set():
            stall = self._progress.stall(clock.monotonic_s(), self._look())
            if not stall:
                await manager.tell(Notification.WATCHDOG)
            if bool(stall) != bool(self._told):
                await self._turned(stall, status)
            self._told = stall
            await self._pause(pause_s, stop)
        await manager.tell(Notification.STOPPING)

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        """Wait that long, or until `stop` is set."""
        waits = (
            asyncio.create_task(self._seams.clock.sleep(seconds), name="liveness.pause"),
            asyncio.create_task(stop.wait(), name="liveness.stop"),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _turned(self, stall: str, status: str) -> None:
        """Tell that it stands still, or works again."""
        await self._manager.tell(Notification.STATUS, (stall or status)[:_STATUS_CHARACTERS])
        if stall:
            self._seams.events.emit(
                AGENT_STALLED,
                error=stall,
                restarts=self._manager.watchdog_s > 0,
                hint="the watchdog is not fed any more; see `forebay status` and `forebay devices`",
            )
