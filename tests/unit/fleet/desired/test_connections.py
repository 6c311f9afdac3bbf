"""By which way a gateway is to come: offered, told once a stream, ended by what the box says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import connections, signing
from forebay_fleet.desired.connections import Moving, Way
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.identity.gateways import GatewayRow
from forebay_fleet.registry import Registry, RegistryThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMES_NS = 1_000, 1 << 62


@pytest.fixture
def registry(data: Path) -> Iterator[Registry]:
    with Registry(data) as opened:
        connections.prepare(opened)
        with opened.transaction() as db:
            gateways.put(db, GatewayRow("gw-1", b"k", 1, 0, b"k", b"c", 0, "", 0, 0, 0))
        yield opened


def test_the_newest_is_open_until_the_box_says_what_became_of_it(
    registry: Registry, tmp_path: Path
) -> None:
    signer = signing.load(tmp_path)
    first = connections.offer(registry, signer, "gw-1", Way("a:1"), TIMES_NS)
    second = connections.offer(registry, signer, "gw-1", Way("b:1"), TIMES_NS)
    assert (first.version, second.version) == (1, 2)
    assert connections.waiting(registry, 2_000) == {"gw-1": 2}
    assert connections.waiting(registry, 1 << 62) == {}
    connections.note(
        registry, "gw-1", fleet_pb2.ConnectionStatus(offer_id=first.offer_id, applied=True)
    )
    assert connections.waiting(registry, 2_000) == {"gw-1": 2}, "it speaks of an older one"
    status = fleet_pb2.ConnectionStatus(offer_id=second.offer_id, error="why" * 500)
    connections.note(registry, "gw-1", status)
    assert connections.waiting(registry, 2_000) == {}
    found = connections.newest(registry, "gw-1")
    assert found is not None
    assert (found.address, len(found.error)) == ("b:1", connections.MAX_ERROR)
    assert found.ended_ns > 0


@pytest.mark.parametrize(
    ("gateway", "way"),
    [
        ("gw-2", Way("a:1")),
        ("gw-1", Way("a")),
        ("gw-1", Way("a:1", "b:0")),
        ("gw-1", Way("a:1", "", [b"c"] * 9)),
    ],
)
def test_what_no_box_could_take_is_refused(
    registry: Registry, tmp_path: Path, gateway: str, way: Way
) -> None:
    with pytest.raises(UsageError):
        connections.offer(registry, signing.load(tmp_path), gateway, way, TIMES_NS)
    assert connections.waiting(registry, 2_000) == {}


async def test_a_stream_is_told_once_and_notes_what_comes_of_it(
    registry: Registry, tmp_path: Path
) -> None:
    made = connections.offer(registry, signing.load(tmp_path), "gw-1", Way("a:1"), TIMES_NS)
    async with RegistryThread(tmp_path) as thread:
        moving = Moving(thread, "gw-1")
        first, second = fleet_pb2.ServerToAgent(), fleet_pb2.ServerToAgent()
        await moving.answer(first)
        await moving.answer(second)
        settings = fleet_pb2.ConnectionSettings.FromString(first.connection.payload)
        assert (settings.gateway, settings.address) == ("gw-1", "a:1")
        assert not second.HasField("connection")
        status = fleet_pb2.ConnectionStatus(offer_id=made.offer_id, applied=True)
        await moving.take(fleet_pb2.AgentToServer(connection=status))
        other = fleet_pb2.ServerToAgent()
        await Moving(thread, "gw-1").answer(other)
        assert not other.HasField("connection")
