"""What goes to a box by its stream is never more than it takes, or it would be cut off for good."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import fleet_pb2 as box_pb
from forebay._proto import fleet_pb2_grpc
from forebay.files import SystemDisk
from forebay.identity import IdentityStore
from forebay.management import asking, certifying
from forebay.management.packages import MAX_PACKAGES
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import commands, signing, states
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import authorities
from forebay_fleet.registry import Registry
from support.fleet_boxes import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW_NS = 1_800_000_000_000_000_000
DAY_NS = 86_400 * 10**9


@asynccontextmanager
async def stream(fleet: Fleet, state: Path) -> AsyncIterator[Any]:
    """Enroll a box and open its stream."""
    host, _, port = fleet.enrollment.partition(":")
    store = IdentityStore(state, SystemDisk())
    identity = await certifying.enroll(store, (host, int(port)), await fleet.token(), "gw-1")
    async with asking.channel(identity.address, asking.credentials(identity)) as channel:
        call: Any = fleet_pb2_grpc.FleetStub(channel).Connect()
        try:
            yield call
        finally:
            call.cancel()


def many_files(count: int, letters: int) -> dict[str, bytes]:
    """Give a configuration of `count` files with names that long."""
    names = (f"{number:05}".rjust(letters, "x") for number in range(count - 1))
    return {"forebay.toml": b""} | dict.fromkeys(names, b"same")


async def test_the_largest_state_and_the_most_commands_come_to_a_box(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with stream(fleet, tmp_path / "state") as call, asyncio.timeout(60.0):
            ids = set()
            with Registry(fleet.server.data) as registry:
                signer = signing.load(fleet.server.data)
                offer = states.Offer("anna", "", NOW_NS, NOW_NS + DAY_NS)
                states.push(registry, signer, "gw-1", many_files(2_040, 460), offer)
                for _ in range(commands.AT_ONCE):
                    command = fleet_pb2.Command(id=secrets.token_hex(16), gateway="gw-1")
                    command.read.tags.extend(["x" * 240] * 1_000)
                    command.not_after_ns = NOW_NS
                    commands.send(registry, signer, command, 1)
                    ids.add(command.id)
            await call.write(box_pb.AgentToServer(sequence_num=1, full_state=True))
            seen, stated = set[str](), False
            while seen != ids or not stated:
                answer = await call.read()
                stated |= answer.HasField("desired")
                for signed in answer.commands:
                    seen.add(box_pb.Command.FromString(signed.payload).id)


def test_what_no_box_takes_is_refused_where_it_is_made(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    with Registry(fleet.server.data) as registry:
        states.prepare(registry)
        commands.prepare(registry)
        columns = "name, bound_key, generation, floor, key, certificate, expires_ns, trusts"
        with registry.transaction() as db:
            db.execute(
                f"INSERT INTO gateways ({columns}, recoveries, enrolled_ns, renewed_ns)"  # noqa: S608 - constants
                " VALUES ('gw-1', x'', 1, 0, x'', x'', 0, '', 0, 0, 0)"
            )
        signer = signing.load(fleet.server.data)
        offer = states.Offer("anna", "", NOW_NS, NOW_NS + DAY_NS)
        with pytest.raises(UsageError, match="1 MiB"):
            states.push(registry, signer, "gw-1", many_files(2_048, 500), offer)
        many = offer._replace(packages=(fleet_pb2.Package(name="p"),) * (MAX_PACKAGES + 1))
        with pytest.raises(UsageError, match="257 packages"):
            states.push(registry, signer, "gw-1", many_files(1, 10), many)
        assert states.newest(registry, "gw-1") is None
        command = fleet_pb2.Command(id=secrets.token_hex(16), gateway="gw-1")
        command.read.tags.extend(["x" * 300] * 1_000)
        with pytest.raises(UsageError, match="256 KiB"):
            commands.send(registry, signer, command, 1)


async def test_a_box_that_stays_connected_is_told_of_another_authority(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with stream(fleet, tmp_path / "state") as call, asyncio.timeout(60.0):
            number, flags = 0, 0
            while not flags & box_pb.RENEW_CERTIFICATE:
                number += 1
                await call.write(box_pb.AgentToServer(sequence_num=number, full_state=number == 1))
                answer = await call.read()
                if number == 1:
                    assert not answer.flags
                    authorities.rotate(fleet.pki, "the next")
                flags = answer.flags
                await asyncio.sleep(0.2)
