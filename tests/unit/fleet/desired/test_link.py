"""One stream of a box, over the line: its order, its size, its pace, and who has it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.files import SystemDisk
from forebay.identity import IdentityStore
from forebay.management import asking, certifying
from forebay_fleet.desired import link, reports
from forebay_fleet.registry import Registry
from support.fleet_boxes import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from forebay.identity import Identity


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Run a server."""
    with Fleet(tmp_path) as running:
        yield running


async def enrolled(fleet: Fleet, gateway: str) -> Identity:
    """Make a box."""
    host, _, port = fleet.enrollment.partition(":")
    store = IdentityStore(fleet.directory / gateway, SystemDisk())
    token = await fleet.token()
    return await certifying.enroll(store, (host, int(port)), token, gateway)


@asynccontextmanager
async def stream(identity: Identity) -> AsyncIterator[Any]:
    """Open a stream that takes any bytes for reports."""
    async with asking.channel(identity.address, asking.credentials(identity)) as channel:
        call: Any = channel.stream_stream(
            "/forebay.v1.Fleet/Connect", response_deserializer=pb.ServerToAgent.FromString
        )()
        try:
            async with asyncio.timeout(60.0):
                yield call
        finally:
            call.cancel()


async def say(call: Any, number: int, *, full: bool = False, **parts: Any) -> None:
    """Send one report."""
    message = pb.AgentToServer(sequence_num=number, full_state=full, **parts)
    await call.write(message.SerializeToString())


async def answered(call: Any, number: int) -> pb.ServerToAgent:
    """Give the answer that says that report `number` is taken."""
    while True:
        answer: pb.ServerToAgent = await call.read()
        if answer.acked == number:
            return answer


async def ended(call: Any) -> tuple[grpc.StatusCode, str]:
    """Wait for the end of a stream; give its status."""
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return await call.code(), await call.details()


async def until_report(fleet: Fleet, holds: Callable[[reports.Report], bool]) -> None:
    """Wait until what is kept of gw-1 is so."""
    async with asyncio.timeout(60.0):
        while True:
            with Registry(fleet.server.data) as registry:
                found = reports.every(registry).get("gw-1")
            if found is not None and holds(found):
                return
            await asyncio.sleep(0.05)


async def test_what_was_left_out_is_asked_for_until_all_is_said(fleet: Fleet) -> None:
    async with stream(await enrolled(fleet, "gw-1")) as call:
        await say(call, 1, full=True)
        assert not (await answered(call, 1)).flags & pb.REPORT_FULL_STATE
        await say(call, 2)
        assert not (await answered(call, 2)).flags & pb.REPORT_FULL_STATE
        await say(call, 4)
        await say(call, 5)
        assert (await answered(call, 5)).flags & pb.REPORT_FULL_STATE, "in order, but 3 is missing"
        await say(call, 6, full=True)
        assert not (await answered(call, 6)).flags & pb.REPORT_FULL_STATE
        await say(call, 7)
        assert not (await answered(call, 7)).flags & pb.REPORT_FULL_STATE


async def test_a_stream_that_does_not_begin_with_all_is_asked_for_all(fleet: Fleet) -> None:
    async with stream(await enrolled(fleet, "gw-1")) as call:
        await say(call, 1)
        assert (await answered(call, 1)).flags & pb.REPORT_FULL_STATE


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (secrets.token_bytes(8) + bytes(link.MAX_REPORT_BYTES), "larger"),
        (b"\xff" * 64, "cannot be read"),
    ],
    ids=["too large", "no message"],
)
async def test_a_report_that_cannot_be_taken_ends_this_stream_alone(
    fleet: Fleet, report: bytes, says: str
) -> None:
    one, other = await enrolled(fleet, "gw-1"), await enrolled(fleet, "gw-2")
    async with stream(one) as bad, stream(other) as good:
        await say(good, 1, full=True)
        await answered(good, 1)
        await say(bad, 1, full=True, description=pb.AgentDescription(version="1.2.3"))
        await answered(bad, 1)
        await until_report(fleet, lambda kept: kept.online == 1)
        await bad.write(report)
        status, text = await ended(bad)
        assert status in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert says in text
        await until_report(fleet, lambda kept: (kept.online, kept.version) == (0, "1.2.3"))
        await say(good, 2)
        await answered(good, 2)


async def test_of_two_streams_of_one_box_the_newer_stays(fleet: Fleet) -> None:
    identity = await enrolled(fleet, "gw-1")
    async with stream(identity) as older:
        await say(older, 1, full=True)
        await answered(older, 1)
        async with stream(identity) as newer:
            await say(newer, 1, full=True)
            assert (await ended(older))[0] is grpc.StatusCode.ABORTED
            await say(newer, 2)
            await answered(newer, 2)
            await until_report(fleet, lambda kept: kept.online == 1)


async def test_a_box_that_says_too_much_is_heard_at_the_pace_of_the_server(fleet: Fleet) -> None:
    over = 15
    async with stream(await enrolled(fleet, "gw-1")) as call:
        began_s = asyncio.get_running_loop().time()
        for number in range(1, link.AT_ONCE + over + 1):
            await say(call, number, full=number == 1)
        await answered(call, link.AT_ONCE + over)
        took_s = asyncio.get_running_loop().time() - began_s
    assert took_s > 0.9 * (over - 1) * link.LEAST_S


async def test_a_server_that_stops_says_when_to_come_back_and_keeps_what_was_said(
    fleet: Fleet,
) -> None:
    async with stream(await enrolled(fleet, "gw-1")) as call:
        health = pb.Health(healthy=True, status="well")
        await say(call, 1, full=True, health=health)
        await answered(call, 1)
        stopping = asyncio.create_task(asyncio.to_thread(fleet.server.stop))
        assert (await ended(call))[0] is grpc.StatusCode.UNAVAILABLE
        trailers = dict(await call.trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) >= 0
        assert await stopping == 0
    with Registry(fleet.server.data) as registry:
        kept = reports.every(registry)["gw-1"]
    assert (kept.online, pb.Health.FromString(kept.health)) == (0, health)
