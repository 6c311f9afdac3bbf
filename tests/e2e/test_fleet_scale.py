"""A server of many processes loses nothing, whichever of them dies: the accounts agree.

Gateways by the real protocol and an agent with its journal send through a balancer to three servers
that keep nothing; NATS has three servers, PostgreSQL is one. Under load a server, a worker and the
NATS server that leads are killed, and PostgreSQL ends as in a crash. In the end every batch is
stored once, by the ledger of the store and by the agent's own.
"""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto.uplink_pb2 import TELEMETRY
from forebay_fleet.audit import verify
from forebay_fleet.certificates import issue_gateway
from forebay_fleet.store.reader import StoreReader
from support.processes import GATEWAY, World, simulated
from support.scaled import Balancer, Load, Scaled

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

GATEWAYS = 12
PERIOD_S = 0.25
TAGS = 10
SOME = 2 * GATEWAYS
"""Records that are to come through after each death."""


@pytest.mark.long
async def test_every_batch_arrives_once_whoever_dies(tmp_path: Path, postgres: Postgres) -> None:
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(Scaled(tmp_path, postgres.fresh()))
        balancer = await stack.enter_async_context(Balancer(fleet.ports))
        box = await stack.enter_async_context(World(tmp_path / "box"))
        await send(box, fleet, balancer.port)
        load = Load(
            *(fleet.pki, [f"127.0.0.1:{balancer.port}"]),
            count=GATEWAYS,
            period_s=PERIOD_S,
            tags=TAGS,
            drain_s=90.0,
        )
        stack.push_async_callback(load.kill)
        await load.begin()
        await fleet.goes_on(SOME)
        await fleet.takers[0].kill()
        await fleet.goes_on(SOME)
        leader = await fleet.cluster.leader()
        await leader.kill()
        await fleet.goes_on(SOME)
        await leader.start()
        postgres.end(signal.SIGQUIT)
        await asyncio.to_thread(postgres.start)
        await fleet.goes_on(SOME)
        await fleet.workers[0].kill()
        await fleet.goes_on(SOME)
        told = await load.end()
        await box.delivered()
        await agrees(box, fleet)
        await box.agent.stop()
        await fleet.drained()
    assert told["acked"] == told["made"], fleet.told()
    assert not told["rejected"]
    with StoreReader(fleet.data) as store:
        lines = {line.gateway: line for line in store.lines() if line.stream == TELEMETRY}
        finding = verify(store)
    assert not finding.problems
    for gateway, batches in told["gateways"].items():
        line = lines[gateway]
        assert (line.coverage.committed, line.records) == (batches + 1, batches + 1), gateway
        assert line.samples == batches * TAGS, gateway
    assert all(not line.forks and not line.gapped and not line.refused for line in lines.values())


async def send(box: World, fleet: Scaled, port: int) -> None:
    """Run an agent that sends to `port`."""
    issue_gateway(fleet.pki, fleet.pki, GATEWAY, 1)
    box.certificates, box.port, box.store = fleet.pki, port, fleet.data
    box.write_config(simulated("press", TAGS, "100 ms"))
    await box.agent.start()


async def agrees(box: World, fleet: Scaled) -> None:
    """Compare the agent's account with the server's, once that has all the agent told of."""
    _, account = await box.ask("ledger")
    await fleet.drained()
    file = box.directory / "account.json"
    file.write_text(json.dumps(account), "utf-8")
    answer = await box.ask_fleet("ledger", "--gateway", GATEWAY, "--against", str(file))
    verdicts = {line["verdict"] for line in answer["streams"]}
    assert verdicts <= {"agree", "under way"}, answer
