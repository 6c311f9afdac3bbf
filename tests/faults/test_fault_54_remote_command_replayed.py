"""Fault 54: a command of the fleet server that comes again is executed once, and is told again.

It comes again with each stream, after a kill of either side, and from a server whose registry is
that of a backup: one that knows the command, and nothing of its result.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.commanded import commanded
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.commanded import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def back_up(site: Site, to: Path) -> None:
    """Copy the registry as a backup would: beside the running server."""
    with (
        closing(sqlite3.connect(site.fleet.server.data / "registry.db")) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)


def restore(site: Site, backup: Path) -> None:
    """Have the server run on what was backed up."""
    site.fleet.server.kill()
    for name in ("registry.db", "registry.db-wal", "registry.db-shm"):
        (site.fleet.server.data / name).unlink(missing_ok=True)
    shutil.copy(backup, site.fleet.server.data / "registry.db")
    site.fleet.server.start()


@pytest.mark.long
async def test_fault_54_remote_command_replayed(tmp_path: Path, strace_binary: Path) -> None:
    async with commanded(tmp_path, strace_binary) as site:
        await site.box.agent.kill()
        asked = await site.write("42.5", "--for", "1h", wait_s=0.0)
        backup = tmp_path / "backup.db"
        back_up(site, backup)
        await site.up()
        assert (await site.result(asked["id"]))["outcome"] == "done"
        assert len(site.plc.writes) == 1

        for kill in (False, True):
            restore(site, backup)
            if kill:
                await site.box.agent.kill()
                await site.up()
            found = await site.result(asked["id"])
            assert found["outcome"] == "done", "the box tells it again, as it was"
            assert len(site.plc.writes) == 1
        other = await site.write("7")
        assert other["outcome"] == "done"
        await until(lambda: len(site.plc.writes) > 1, "another command is another write")
        intents = [line for line in await site.audited() if f"{asked['id']} intent" in line]
        assert 1 <= len(intents) <= 2, "the command's own, and that of the gate"
        assert [values for _, _, values in site.plc.writes] == [(425,), (70,)]


@pytest.mark.long
async def test_fault_54_a_command_that_came_too_late(tmp_path: Path, strace_binary: Path) -> None:
    """What expired while the box was away is not executed when it comes back."""
    async with commanded(tmp_path, strace_binary) as site:
        await site.box.agent.kill()
        late = await site.write("42.5", "--for", "1s", wait_s=0.0)
        waits = await site.write("7", "--for", "1h", wait_s=2.0)
        assert waits["outcome"] == "pending"
        await site.up()
        assert (await site.result(waits["id"]))["outcome"] == "done"
        assert [values for _, _, values in site.plc.writes] == [(70,)]
        found = await site.fleet.ask("send", "result", late["id"], good=False)
        assert found["outcome"] == "expired", found
