"""What one client must not take from the others: places, files, names, the way to enroll."""

from __future__ import annotations

import asyncio
import resource
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay_fleet._proto import fleet_pb2, fleet_pb2_grpc
from forebay_fleet.certificates import load_authority
from forebay_fleet.identity import door, enrollment
from forebay_fleet.limits import Limits
from support.fleet import FleetServer, Gateway, anchor
from support.fleet_boxes import Fleet
from support.handmade import odd_certificate

if TYPE_CHECKING:
    from pathlib import Path

BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED


def open_to(address: str, files: tuple[bytes, bytes, bytes] | None, ca: bytes) -> grpc.aio.Channel:
    """Give a channel of its own connection."""
    key, certificate = files[:2] if files is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    return grpc.aio.secure_channel(address, credentials, options)


async def code_of(call: grpc.aio.Call) -> grpc.StatusCode:
    """Give how a call ended."""
    async with asyncio.timeout(60.0):
        return await call.code()


async def test_calls_that_never_say_what_they_want_leave_room_to_enroll(tmp_path: Path) -> None:
    """As many as the port serves at once, half open, from one address."""
    with Fleet(tmp_path) as fleet:
        ca = (fleet.pki / "ca.crt").read_bytes()
        async with AsyncExitStack() as stack:
            silent = []
            for _ in range(enrollment.MAX_CALLS // 4):
                channel = await stack.enter_async_context(open_to(fleet.enrollment, None, ca))
                ask: Any = channel.stream_unary("/forebay.v1.Enrollment/Enroll")
                for _ in range(4):
                    silent.append(ask())
                    await silent[-1].wait_for_connection()
            channel = await stack.enter_async_context(open_to(fleet.enrollment, None, ca))
            challenge = fleet_pb2_grpc.EnrollmentStub(channel).Challenge
            request = fleet_pb2.ChallengeRequest(gateway="gw-1")
            codes = [await code_of(call) for call in silent]
            assert grpc.StatusCode.OK not in codes
            async with asyncio.timeout(120.0):
                while True:  # the address has failed often, and waits a little for that
                    try:
                        assert len((await challenge(request)).nonce) == 32
                        break
                    except grpc.aio.AioRpcError as error:
                        assert error.code() is BUSY  # noqa: PT017 - one of two ends
                        await asyncio.sleep(1.0)


async def test_one_gateway_has_not_the_places_of_the_others(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        files = fleet.server.issue("greedy")
        ca = files.ca.read_bytes()
        pair = (files.key.read_bytes(), files.certificate.read_bytes(), ca)
        async with open_to(fleet.server.address, pair, ca) as channel:
            ask: Any = channel.stream_stream("/forebay.v1.Uplink/Session")
            calls = [asyncio.create_task(code_of(ask())) for _ in range(door.MOST_CALLS + 8)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=60.0)
            assert {task.result() for task in done} == {BUSY}
            other = fleet.server.issue("modest")
            async with Gateway(fleet.server.address, other, "modest") as gateway:
                await gateway.send(anchor(1))
                await gateway.ack_up_to(1)
        await asyncio.wait(calls)


@pytest.mark.parametrize("name", ["../../etc", "", "a b", "gw-1\n"])
async def test_a_certificate_that_names_no_gateway_opens_nothing(tmp_path: Path, name: str) -> None:
    """An authority that signs other things too may have signed any name."""
    with Fleet(tmp_path) as fleet:
        ca = (fleet.pki / "ca.crt").read_bytes()
        pair = odd_certificate(load_authority(fleet.pki), name)
        async with open_to(fleet.server.address, (*pair, ca), ca) as channel:
            stub = fleet_pb2_grpc.FleetStub(channel)
            for call in (stub.Connect(), stub.Fetch(fleet_pb2.FetchRequest(sha256=b"x" * 32))):
                assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED


def test_a_thousand_boxes_with_all_their_streams_leave_room_for_renewals() -> None:
    limits = Limits()
    assert limits.max_calls >= limits.max_gateways * (2 + 1) + limits.max_gateways // 4
    assert Limits(max_gateways=5_000).max_calls > 15_000


async def test_a_server_takes_as_many_connections_as_its_machine_lets_it(tmp_path: Path) -> None:
    """Service managers begin processes with 1,024 files, and a box has two connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = FleetServer(tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    writers = []
    try:
        for _ in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(writer)
        async with Gateway(server.address, server.issue("gw-1"), "gw-1") as gateway:
            await gateway.send(anchor(1))
            await gateway.ack_up_to(1)
    finally:
        for writer in writers:
            writer.close()
        server.kill()
