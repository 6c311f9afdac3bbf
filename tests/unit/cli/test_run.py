"""`forebay run` as a service manager sees it: the real agent on a device that needs no network."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

from forebay.control.address import Answer, knock
from forebay.testing.uplink_server import UplinkServer
from support.certificates import Authority
from support.commands import COMMAND, forebay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

CONFIG = """
[gateway]
id = "press-hall-1"

[devices.bench]
protocol = "simulated"

[devices.bench.groups.default]
period = "50 ms"

[[devices.bench.tags]]
name = "level"
address = "walk low=0 high=100 step=0.5"
type = "float64"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "forebay.toml"
    path.write_text(CONFIG)
    return path


def environment(config: Path) -> dict[str, str]:
    """Where this agent keeps its state and listens."""
    folder = config.parent
    return {"FOREBAY_STATE": str(folder / "state"), "FOREBAY_SOCKET": str(folder / "s")}


@asynccontextmanager
async def daemon(config: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the agent; entered when it listens."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "run",
        "--config",
        config,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment(config),
    )
    try:
        async with asyncio.timeout(30):
            while knock(config.parent / "s") is not Answer.LIVE:
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop(config: Path, number: signal.Signals) -> None:
    async with daemon(config, "--json") as process:
        async with asyncio.timeout(30):
            quality = 1
            while quality != 0:
                done = await forebay("read", "bench/level", "--json", **environment(config))
                assert (done.code, done.err) == (0, "")
                quality = done.document()["tags"][0]["quality"]
        status = await forebay("status", "--json", **environment(config))
        assert status.document()["gateway"] == "press-hall-1"
        process.send_signal(number)
        out, log = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "device_connected" in events
    assert events[-1] == "agent_stopped"
    assert knock(config.parent / "s") is Answer.MISSING


async def test_a_second_agent_on_the_same_socket_is_refused(config: Path) -> None:
    async with daemon(config):
        other = environment(config) | {"FOREBAY_STATE": str(config.parent / "other")}
        done = await forebay("run", "--config", config, **other)
        assert done.code == 1
        assert "another process answers on the control socket" in done.err
        assert (await forebay("status", **environment(config))).code == 0


async def test_after_a_kill_the_next_one_takes_over(config: Path) -> None:
    async with daemon(config) as process:
        process.kill()
    assert (await forebay("status", **environment(config))).code == 3
    async with daemon(config):
        assert (await forebay("status", **environment(config))).code == 0


async def test_the_log_stays_json_while_an_uplink_fails(config: Path, tmp_path: Path) -> None:
    """The library below reports each failed handshake by itself if nobody stops it."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "Their authority")
    server, client = theirs.issue("server"), ours.issue("press-hall-1")
    client.key.chmod(0o600)
    pair = (server.key.read_bytes(), server.cert.read_bytes())
    async with UplinkServer(grpc.ssl_server_credentials([pair])) as uplink:
        text = f"""
[uplinks.cloud]
kind = "grpc"
address = "{uplink.address}"
ca = "{ours.ca}"
cert = "{client.cert}"
key = "{client.key}"
backoff = {{ first = "50 ms", most = "50 ms" }}
"""
        config.write_text(CONFIG + text)  # noqa: ASYNC240 - nothing else runs yet
        async with daemon(config, "--json") as process:
            failed = False
            async with asyncio.timeout(30):
                while not failed:
                    done = await forebay("uplinks", "--json", **environment(config))
                    failed = "TLS handshake" in done.out
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "agent_stopped" in events
