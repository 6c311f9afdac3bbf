"""Fault 55: what cannot be put on record in time does not go out, and is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.faults import injecting
from support.processes import until
from support.write_site import accounts, audited, polling, site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

HANG = "fdatasync,fsync:delay_enter=1500000:when=40+"
"""From the fortieth on each flush takes longer than the deadline: the agent has started by then."""
WRITE = ("write", "press/Setpoint", "42.5", "--deadline", "0.5")


@pytest.mark.long
async def test_fault_55_audit_not_writable(tmp_path: Path, strace_binary: Path) -> None:
    async with site(tmp_path) as (world, plc):
        assert await world.agent.stop() == 0
        world.agent.before = injecting(strace_binary, tmp_path / "strace", HANG)
        await world.agent.start()
        log = tmp_path / "strace"
        await until(lambda: log.exists() and "(DELAYED)" in log.read_text(), "flushes are slow")
        await polling(world, plc)
        code, reply = await world.ask(*WRITE)
        assert (code, reply["outcome"]) == (1, "refused")
        assert "audit" in reply["detail"]
        await polling(world, plc)
        assert plc.writes == []
        await world.agent.stop(100)
        world.agent.before = []
        await world.agent.start()
        await polling(world, plc)
        assert plc.writes == []
        refused = [line for line in await audited(world) if "UNKNOWN" in line]
        assert refused == [], "an outcome followed the intent that came too late"
        code, reply = await world.ask("write", "press/Setpoint", "42.5")
        assert (code, reply["outcome"], len(plc.writes)) == (0, "good", 1)
        await accounts(world)
