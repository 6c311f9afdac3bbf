"""Work for one process of a plugin, from when it is ready until it is to end or fails.

Owns the loop between a feed and a channel: take, send, receive, hand back. Must not know how the
process was started, or what comes after it.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.pluginhost.owed import Ledger
    from forebay.pluginhost.running import Running
    from forebay.pluginhost.seams import Feed, Results, Verdict, Work

PING_S = 15.0
"""An idle plugin is asked for a sign of life this often."""


class Why(StrEnum):
    """Why a process that works well is to end."""

    STOP = "the gateway stops it"
    RESTART = "it is started anew"
    INPUTS = "it gets other inputs"
    SWAP = "another version takes over"
    NO_MORE = "there is no more work"


class Session:
    """One process at work. `run` once."""

    def __init__(
        self,
        running: Running,
        feed: Feed,
        ledger: Ledger,
        done: Callable[[Work, Results, Verdict], None],
    ) -> None:
        """Work what `ledger` still owes, then what `feed` gives; `done` is told of each."""
        self._running, self._feed, self._ledger, self._done = running, feed, ledger, done
        self._taking: asyncio.Task[Work | None] | None = None
        self._dry = False

    async def run(self, wake: asyncio.Event, leave: Callable[[], Why | None]) -> Why:
        """Work until `leave` gives a reason and what is out has ended; give that reason.

        `leave` is asked again whenever `wake` is set. Raises PluginError if the process fails, with
        what is out still in the ledger, and whatever the feed raises.
        """
        name = self._running.instance.name
        changed = asyncio.create_task(self._feed.changed.wait(), name=f"plugin-inputs[{name}]")
        woken = asyncio.create_task(wake.wait(), name=f"plugin-wake[{name}]")
        try:
            while True:
                if woken.done():
                    wake.clear()
                    woken = asyncio.create_task(wake.wait(), name=f"plugin-wake[{name}]")
                why = self._why(leave)
                if why is not None:
                    await self._withdraw()
                    if not len(self._ledger):
                        return why
                await self._send()
                if why is None and self._taking is None and self._ledger.wants:
                    task = asyncio.create_task(self._feed.next(), name=f"plugin-feed[{name}]")
                    self._taking = task
                await self._wait(() if why is not None else (changed, woken))
        finally:
            changed.cancel()
            woken.cancel()
            await asyncio.gather(changed, woken, return_exceptions=True)
            await self._withdraw()

    def _why(self, leave: Callable[[], Why | None]) -> Why | None:
        if why := leave():
            return why
        if self._feed.changed.is_set():
            return Why.INPUTS
        return Why.NO_MORE if self._dry else None

    async def _send(self) -> None:
        """Send what may go out; the process's end cuts a send that it does not take."""
        lost, channel = self._running.lost, self._running.channel
        for owed in list(self._ledger.sendable()):
            owed.answer = asyncio.get_running_loop().create_future()
            name = f"plugin-send[{self._running.instance.name}]"
            sending = asyncio.create_task(channel.send(owed.work, owed.answer), name=name)
            try:
                waits: set[asyncio.Future[Any]] = {sending, lost}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    raise lost.result()
                sending.result()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _wait(self, signals: tuple[asyncio.Task[Any], ...]) -> None:
        """Wait for whatever comes next, and take it over."""
        head = self._ledger.head
        waits: set[asyncio.Future[Any]] = {self._running.lost, *signals}
        if head is not None and head.answer is not None:
            waits.add(head.answer)
        if self._taking is not None:
            waits.add(self._taking)
        ended, _ = await asyncio.wait(waits, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
        if not ended and head is None:
            await self._running.channel.ping()
        self._take()
        if head is not None and head.answer is not None and head.answer.done():
            results = head.answer.result()
            await self._send()  # the plugin goes on while its results are journaled
            verdict = await self._feed.done(head.work, results)
            self._ledger.end()
            self._done(head.work, results, verdict)
        elif self._running.lost.done():
            raise self._running.lost.result()

    def _take(self) -> None:
        """Take over what the feed gave, if it did."""
        taking = self._taking
        if taking is None or not taking.done():
            return
        self._taking = None
        if taking.cancelled():
            return
        work = taking.result()
        if work is None:
            self._dry = True
        else:
            self._ledger.add(work)

    async def _withdraw(self) -> None:
        """Ask the feed for no more; what it gave in this moment is taken."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])
            self._take()
