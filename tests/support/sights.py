"""What a scrape sees of the agent of set words."""

from __future__ import annotations

from typing import Any

from forebay.control.figures import Clock, Sight
from forebay.control.pluginview import PluginStatus
from forebay.model import ClockState
from support.scripted_agent import ScriptedAgent


async def sight(agent: ScriptedAgent | None = None, **changes: Any) -> Sight:
    agent = agent or ScriptedAgent()
    seen = Sight(
        agent.status(),
        tuple(agent.devices()),
        tuple(agent.uplinks()),
        (PluginStatus("fit", "anomaly", "1.0", "waiting", windows=9, took_p99_ms=4.0),),
        await agent.journal_status(),
        tuple(await agent.ledger()),
        Clock(ClockState.SYNCED, 0.25),
        "connected",
    )
    return seen._replace(**changes)
