"""A scrape of a large journal does not hold up polls for all of its time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from prometheus_client import CollectorRegistry

from forebay.control.scraping import Scraping
from forebay.model import ClockState
from support.scripted_agent import ScriptedAgent


class Anchors:
    state, error_s = ClockState.SYNCED, 0.25


class Noting(ScriptedAgent):
    """Notes in which turn of the loop each part was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.asked: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        if name in {"status", "devices", "uplinks", "journal_status", "ledger"}:
            self.asked[name] = self.turn
        return super().__getattribute__(name)


async def test_polls_go_on_between_the_parts() -> None:
    agent = Noting()
    scraping = Scraping(cast("Any", agent), cast("Any", Anchors()), CollectorRegistry())

    async def turns() -> None:
        while True:
            agent.turn += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turns())
    seen = await scraping.look()
    turning.cancel()
    turns_of = [agent.asked[n] for n in ("status", "devices", "uplinks", "journal_status")]
    turns_of.append(agent.asked["ledger"])
    assert sorted(set(turns_of)) == turns_of, "each in a turn of its own"
    assert seen.status.gateway == "press-hall-1"
    assert seen.clock.error_s == 0.25
