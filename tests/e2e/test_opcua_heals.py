"""What heals without a restart of ours: a session on node-opcua through what servers do.

One server for the module, since it needs seconds to start; the test that kills it stands last.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from forebay.errors import DeviceUnreachable
from forebay.events import SERVER_CLOCK_OFF, SERVER_CLOCK_RIGHT
from forebay.model import is_bad
from support.clocks import YEAR_S, FakeTime
from support.node_opcua import NAMESPACE, NodeOpcua
from support.opcua import connected, device
from support.opcua_session import living
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

TAGS = {name: (f"nsu={NAMESPACE};s={name}", "float64") for name in ("Level", "V7")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as running:
        yield running


async def test_a_subscription_that_the_server_forgot_is_made_anew(server: NodeOpcua) -> None:
    """Neither a transfer nor a restart is tried: a new session subscribes to everything."""
    async with living(server.endpoint, TAGS) as life:
        await life.until(lambda: life.values("V7"), "subscribed")
        await server.forget()
        await life.until(lambda: life.session.status.connections == 2, "connected again")
        await server.set("Level", 17.0)
        await life.until(lambda: life.values("Level")[-1] == 17.0, "heard again")
    await server.set("Level", 0.5)


async def test_a_server_without_a_free_session_is_tried_until_one_is_free(
    server: NodeOpcua,
) -> None:
    spec = device(server.endpoint, TAGS)
    try:
        async with connected(spec):
            await server.sessions(1)
            with pytest.raises(DeviceUnreachable, match="BadTooManySessions") as full:
                async with connected(spec):
                    pass
            assert "close other clients" in full.value.hint
            async with living(server.endpoint, TAGS) as life:
                status = life.session.status
                await life.until(lambda: "BadTooManySessions" in status.last_error, "refused")
                assert status.connections == 0
                await server.sessions(2)
                await life.until(lambda: life.values("V7") == [7.0], "served")
    finally:
        await server.sessions(50)


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_half_open_connection_is_found_by_its_silence(server: NodeOpcua, mode: str) -> None:
    async with (
        Proxy(f"127.0.0.1:{server.port}") as proxy,
        living(f"opc.tcp://{proxy.address}", TAGS, mode, timeout=2.0) as life,
    ):
        await life.until(lambda: life.values("V7"), "read")
        proxy.dark = True
        began_s = time.monotonic()
        await life.until(lambda: life.session.status.last_error, "found")
        assert time.monotonic() - began_s < 15, "seconds, where TCP alone takes many minutes"
        await life.until(lambda: is_bad(life.samples[-1].quality), "marked bad")
        proxy.dark = False
        proxy.cut()
        count = len(life.values("V7"))
        await life.until(lambda: len(life.values("V7")) > count, "read again")


async def test_a_server_whose_clock_is_years_off_is_read_and_told_of_once(
    node_binary: Path, node_opcua_dir: Path, tmp_path: Path
) -> None:
    clock = FakeTime(tmp_path, f"{-3 * YEAR_S:+d}")
    (tmp_path / "state").mkdir()
    late = NodeOpcua(node_binary, node_opcua_dir, tmp_path / "state")
    late.environment = clock.environment
    async with late, living(late.endpoint, TAGS, session_timeout=5.0) as life:
        await life.until(lambda: life.values("V7"), "subscribed")
        (sample,) = [s for s in life.samples if s.tag.name == "V7" and s.value is not None]
        behind_s = (sample.received_ns - sample.time_ns) / 1e9
        assert behind_s > 2.9 * YEAR_S, "dated by the source, as its settings say"
        events = life.seams.events
        await life.until(lambda: events.count(SERVER_CLOCK_OFF, device="press"), "told")
        clock.set(0)
        await life.until(lambda: events.count(SERVER_CLOCK_RIGHT, device="press"), "right")
        assert events.count(SERVER_CLOCK_OFF, device="press") == 1
        assert life.session.status.connections == 1, "a step of its clock ends nothing"


@pytest.mark.parametrize(("mode", "shift"), [("subscribe", 2), ("poll", 4)])
async def test_a_restart_under_which_namespaces_move_is_survived(
    server: NodeOpcua, mode: str, shift: int
) -> None:
    async with living(server.endpoint, TAGS, mode) as life:
        await life.until(lambda: life.values("V7"), "read")
        index = server.facts["namespace"]
        await server.kill()
        await life.until(lambda: is_bad(life.samples[-1].quality), "marked bad")
        await server.start(extra_namespaces=shift)
        assert server.facts["namespace"] != index
        await server.set("Level", 4.25)
        await life.until(lambda: life.values("Level")[-1] == 4.25, "heard again")
        assert set(life.values("V7")) == {7.0}
