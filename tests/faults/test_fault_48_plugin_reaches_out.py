"""Fault 48: a plugin opens connections, reads and writes files that are not its own."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from forebay.pluginhost.means import FIRST_USER, LAST_USER
from support.plugins import Bench, odd

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_fault_48_plugin_reaches_out(
    tmp_path: Path, bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_SECRET", "of the agent")
    secret = tmp_path / "key.pem"
    secret.write_text("secret", encoding="utf-8")
    came: list[object] = []
    server = await asyncio.start_server(lambda *_: came.append(1), "127.0.0.1", 0)
    instance = odd(tmp_path / "odd", "explores", sandbox="required")
    (tmp_path / "odd" / "port").write_text(str(server.sockets[0].getsockname()[1]))
    (tmp_path / "odd" / "secret").write_text(str(secret))
    bench = Bench(tmp_path, instance, total=4)
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor == [4])
        found = dict(host.status().facts)
    server.close()
    assert not came
    for way in ("loopback", "outside", "write own", "write root", "write usr"):
        assert found[way].endswith(("Error", "timeout")), (way, found[way])
    assert found["shadow"] == found["secret"] == "FileNotFoundError"
    for call in ("mount", "shmget", "msgget", "unshare"):
        assert found[call] == "refused", call
    assert found["secrets"] == "False"
    assert int(found["processes"]) < 8, "it sees no process but its own"
    assert (found["CapEff"], found["CapBnd"], found["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    if os.geteuid() == 0:
        assert FIRST_USER <= int(found["uid"]) <= LAST_USER, "never root"
    assert bench.feed.sums.keys() == set(range(4)), "and it works all the same"
