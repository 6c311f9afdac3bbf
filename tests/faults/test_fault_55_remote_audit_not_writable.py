"""Fault 55: what the fleet server asks for is refused where the audit takes no intent of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.commanded import commanded
from support.processes import until

if TYPE_CHECKING:
    from support.processes import Process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HANG_US = 120_000_000
"""How long each flush takes: longer than a command waits for the audit."""


def tracer(agent: Process) -> int:
    """Give the process that traces the agent, 0 for none (proc(5))."""
    status = Path(f"/proc/{agent.pid}/status").read_text("ascii")
    found = re.search(r"^TracerPid:\s+(\d+)$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def hang_flushes(agent: Process, strace: Path, files: list[Path]) -> None:
    """Have the flushes of `files` hang from now on, in the agent as it runs."""
    os.kill(tracer(agent), signal.SIGKILL)  # a process has one: that of its clock goes
    await until(lambda: not tracer(agent), "it is traced no more")
    words = [str(strace), "-qq", "-f", "-p", str(agent.pid), "-e", "trace=fdatasync,fsync"]
    for file in files:
        words += ["-P", str(file)]
    words += ["-e", f"inject=fdatasync,fsync:delay_enter={HANG_US}"]
    agent_traced = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
    await until(lambda: tracer(agent) == agent_traced.pid, "it is traced again")


@pytest.mark.long
async def test_fault_55_audit_not_writable(tmp_path: Path, strace_binary: Path) -> None:
    async with commanded(tmp_path, strace_binary) as site:
        agent = site.box.agent
        assert (await site.write("7"))["outcome"] == "done"
        audit = [*(site.box.state / "journal").rglob("audit/*")]
        assert audit, [*(site.box.state / "journal").rglob("*")]
        await hang_flushes(agent, strace_binary, audit)

        found = await site.write("42.5", "--for", "5min", good=False)
        assert found["outcome"] == "refused", found
        assert "audit" in found["detail"]
        assert [values for _, _, values in site.plc.writes] == [(70,)]
        restarts = len(site.box.told("device_connected", device="press"))
        found = await site.send("restart", "gw-1", "device", "press", good=False)
        assert found["outcome"] == "refused", found
        assert len(site.box.told("device_connected", device="press")) == restarts

        with suppress(ProcessLookupError):
            os.kill(tracer(agent), signal.SIGKILL)  # what hangs goes on, and may be durable now
        await agent.kill()
        await site.up()
        assert (await site.write("8"))["outcome"] == "done", "the audit takes it again"
        assert [values for _, _, values in site.plc.writes] == [(70,), (80,)]
        assert not [line for line in await site.audited() if "UNKNOWN" in line]
