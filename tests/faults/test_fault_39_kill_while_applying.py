"""Fault 39: the agent is killed (SIGKILL) at each state of an attempt, a pushed one.

Each box dies as soon as one state is on its disk, which is slow enough that the next is not, and is
started again as a supervisor does. A good configuration runs in the end, a bad one never stays;
nobody helps.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from support.config_site import polled
from support.faults import injecting
from support.fleet_boxes import Box, Fleet
from support.live_agent import CountingPlc
from support.processes import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WAIT_S = 150.0
TRIES = 4
AT_ONCE = 4
"""Boxes that restart at a time."""

SLOW = "rename:delay_exit=3000000"
"""Each state stands on disk for three seconds before the agent goes on."""


class Cut(NamedTuple):
    """At which state the agent is killed, and what is pushed."""

    phase: str
    good: bool = True


OPEN = ("received", "validated", "staged", "applying", "probation")
CUTS = (
    *(Cut(phase) for phase in (*OPEN, "committed")),
    Cut("probation", good=False),
    Cut("rolled_back", good=False),
)


class Victim:
    """A box that is killed once, by what its disk is asked for."""

    def __init__(self, box: Box, plc: CountingPlc, cut: Cut) -> None:
        self.box, self.plc, self.cut = box, plc, cut
        self.book = box.state / "config" / "book.json"

    def text(self, port: int, period: str) -> str:
        """Give a configuration with its device at `port`."""
        head = self.box.config.read_text("utf-8").partition("[devices.")[0]
        head = head.partition("[fleet]")[0] + '[fleet]\nprobation = "6 s"\n'
        return head + polled("press", port, period)

    async def begin(self, strace: Path) -> None:
        """Enroll it, and start it so that it will die."""
        self.box.config.write_text(self.text(self.plc.port, "200 ms"), "utf-8")
        assert (await self.box.enroll(await self.box.fleet.token())).code == 0
        log = self.box.directory / "strace"
        self.box.agent.before = injecting(strace, log, SLOW, path=self.book)
        await self.box.agent.start()
        await until(lambda: self.box.told("fleet_connected"), "it comes", WAIT_S)
        await until(lambda: len(self.plc.read_s) > 5, "it polls", WAIT_S)

    def phase(self) -> str:
        """Give how far the last attempt on its disk is; empty: there is none."""
        attempts = self.attempts()
        return str(attempts[-1]["phase"]) if attempts else ""

    def attempts(self) -> list[Any]:
        """Give the attempts on its disk, the last at the end."""
        if not self.book.exists():
            return []
        found: list[Any] = json.loads(json.loads(self.book.read_text("utf-8"))["body"])["attempts"]
        return found

    def has_polled(self, times: int) -> bool:
        """Whether its device was read more often than that."""
        return len(self.plc.read_s) > times

    def there(self, offer_id: str) -> bool:
        """Whether the offer has come as far as it is to come, or farther."""
        attempts = self.attempts()
        if not attempts or attempts[-1]["offer_id"] != offer_id:
            return False
        last = (*OPEN, "committed") if self.cut.good else (*OPEN, "rolled_back")
        phase = attempts[-1]["phase"]
        return phase not in last or last.index(phase) >= last.index(self.cut.phase)

    def is_over(self, offered: Any, link: Any) -> bool:
        """Whether the offer has come to an end, and what is to run by then runs."""
        config = link["config"]
        attempt = config.get("last_attempt", {})
        phase = attempt.get("phase")
        return (
            attempt.get("offer_id") == offered["offer_id"]
            and phase in ("committed", "rolled_back")
            and (config["running"] == offered["hash"]) is (phase == "committed")
        )

    async def killed(self, site: Path, number: int) -> tuple[Any, bool]:
        """Push, have it die, start it again; give how it ended, and if it died there."""
        port = self.plc.port if self.cut.good else free_port()
        period = f"{300 + number} ms"  # another one each time: what was tried is not tried again
        (site / "forebay.toml").write_text(self.text(port, period), "utf-8")
        offered = await self.box.fleet.ask("push", self.box.gateway, str(site))
        there = partial(self.there, offered["offer_id"])
        await until(there, f"it is {self.cut}", WAIT_S, 0.02)
        await self.box.agent.kill()
        hit = self.phase() == self.cut.phase
        if hit:
            self.box.agent.before = []
        await self.box.agent.start()
        found = await shown(self.box, partial(self.is_over, offered))
        attempt = found["config"]["last_attempt"]
        assert self.cut.good or attempt["phase"] == "rolled_back", "what stops data never stays"
        return attempt, hit

    async def through(self, site: Path, strace: Path) -> tuple[Any, float]:
        """Have it die in its state; give what the server knows then, and s since the push.

        A busy machine may look away while the state stands there, and a good one may roll back
        because nothing had time to poll: then again.
        """
        before = injecting(strace, self.box.directory / "strace", SLOW, path=self.book)
        for number in range(TRIES):
            began_s = time.monotonic()
            attempt, hit = await self.killed(site, number)
            if hit and (attempt["phase"] == "committed") is self.cut.good:
                enough = len(self.plc.read_s) + 5
                await until(partial(self.has_polled, enough), "it polls as before", WAIT_S)
                return attempt, time.monotonic() - began_s
            await self.box.agent.kill()
            self.box.agent.before = before
            await self.box.agent.start()
            await until(lambda: self.box.told("fleet_connected"), "it comes back", WAIT_S)
        raise AssertionError(f"{TRIES} times not {self.cut}: {attempt}")


async def shown(box: Box, condition: Callable[[Any], object]) -> Any:
    """Wait until the server knows this of a box."""
    found = None
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                rows = await box.fleet.ask("gateways")
                found = next(row["link"] for row in rows if row["name"] == box.gateway)
                if found and condition(found):
                    return await box.fleet.ask("show", box.gateway)
                await asyncio.sleep(0.5)  # ten ask at once
    except TimeoutError:
        raise AssertionError(json.dumps(found)) from None


@pytest.mark.long
async def test_fault_39_killed_at_each_state_it_ends_as_it_must(
    tmp_path: Path, strace_binary: Path, record_property: Callable[[str, object], None]
) -> None:
    async with AsyncExitStack() as stack:
        fleet = stack.enter_context(Fleet(tmp_path))
        victims = []
        for number, cut in enumerate(CUTS):
            plc = await stack.enter_async_context(CountingPlc())
            box = await stack.enter_async_context(Box(fleet, f"box{number}", f"gw-{number}"))
            victims.append(Victim(box, plc, cut))
        sites = [tmp_path / f"site{number}" for number in range(len(CUTS))]
        for site in sites:
            site.mkdir()
        async with asyncio.TaskGroup() as tasks:
            for one in victims:
                tasks.create_task(one.begin(strace_binary))
        turn = asyncio.Semaphore(AT_ONCE)

        async def in_turn(one: Victim, site: Path) -> tuple[Any, float]:
            async with turn:
                return await one.through(site, strace_binary)

        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(in_turn(one, site))
                for one, site in zip(victims, sites, strict=True)
            ]
        for victim, task in zip(victims, running, strict=True):
            attempt, took_s = task.result()
            record_property(
                f"killed at {victim.cut.phase}", f"{attempt['phase']} after {took_s:.1f} s"
            )
            assert not victim.box.told("fleet_state_refused")
