"""A record that the destination refuses is set aside; once somebody has mended it, it is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import uplink_pb2 as pb
from forebay.testing.uplink_server import Faults, UplinkServer
from support.processes import GATEWAY, World, simulated

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TAGS = 10
REFUSED = 8
"""A seq by which batches have begun."""


def write_config(world: World, address: str) -> None:
    world.config.write_text(
        f"""
[gateway]
id = "{GATEWAY}"
[journal]
directory = "{world.journal}"
commit_interval = "20 ms"
[control]
socket = "{world.socket}"
[uplinks.cloud]
kind = "grpc"
address = "{address}"
plaintext = true
backoff = {{ first = "50 ms", most = "500 ms" }}
{simulated("a", TAGS, "10 ms")}
""",
        encoding="utf-8",
    )


async def listed(world: World) -> list[dict[str, Any]]:
    """Ask what is set aside; nothing while the agent does not answer."""
    _, document = await world.ask("journal", "quarantine", "ls")
    found: list[dict[str, Any]] = (document or {}).get("records", [])
    return found


def stored(server: UplinkServer) -> list[pb.Record]:
    """Give the batches of telemetry that the server has."""
    records = server.store.records
    return [one for one in records if (one.stream, one.kind) == (pb.TELEMETRY, pb.BATCH)]


async def test_what_was_refused_goes_once_the_destination_takes_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world, UplinkServer() as server:
        write_config(world, server.address)
        server.faults = Faults(reject=frozenset({REFUSED}))
        await world.agent.start()
        while not (aside := await listed(world)):
            assert world.agent.running, world.agent.text()[-2000:]
        (copy,) = aside
        assert (copy["stream"], int(copy["seq"]), copy["kind"]) == ("telemetry", REFUSED, "batch")
        assert copy["code"] == "BadDecodingError"
        refused, told = await world.ask("journal", "quarantine", "retry", copy["id"])
        assert (refused, told["done"]) == (1, []), "the destination still refuses it"
        assert [one["id"] for one in await listed(world)] == [copy["id"]]
        assert REFUSED not in {record.seq for record in stored(server)}

        server.faults = Faults()  # somebody has mended the destination
        taken, told = await world.ask("journal", "quarantine", "retry", copy["id"])
        assert (taken, told) == (0, {"done": [copy["id"]], "failed": []})
        assert await listed(world) == []
        (late,) = [record for record in stored(server) if record.seq == REFUSED]
        assert late.samples == int(copy["samples"]) > 0
        again, told = await world.ask("journal", "quarantine", "retry", copy["id"])
        assert (again, told["done"]) == (1, []), "there is nothing left to send"

        assert await world.agent.stop() == 0, world.agent.text()[-2000:]
        lines = [json.loads(line) for line in world.agent.text().splitlines() if line[:1] == "{"]
        account = next(one for one in reversed(lines) if one["event"] == "agent_stopped")
        parts = {part: account[part] for part in ("pending", "gapped", "quarantined")}
        assert parts == dict.fromkeys(parts, 0), account
        assert account["produced"] == account["delivered"]
        assert account["delivered"] == sum(record.samples for record in stored(server))
