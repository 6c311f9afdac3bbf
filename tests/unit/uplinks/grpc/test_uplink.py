"""The gRPC uplink against a real server on the loopback, under mutual TLS and without."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay.clock import SystemClock
from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Offer, Seams, UplinkSpec
from forebay.model import Position, Stream
from forebay.net import SystemNetwork
from forebay.testing.records import make_record
from forebay.testing.uplink_contract import UplinkContract
from forebay.testing.uplink_server import Faults, UplinkServer
from forebay.uplinks.grpc import SPEC
from forebay.uplinks.grpc.config import GrpcSettings
from support.certificates import Authority
from support.uplinks import connect_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.interfaces import Uplink

OFFER = Offer("gateway-1", "boot-1", 1, ())


def make_uplink(**settings: Any) -> Uplink:
    spec: UplinkSpec = SPEC
    seams = Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events())
    return spec.build("cloud", GrpcSettings.model_validate({"kind": "grpc", **settings}), seams)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "right")


def server_credentials(authority: Authority) -> grpc.ServerCredentials:
    pair = authority.issue("server")
    return grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.cert.read_bytes())],
        root_certificates=authority.ca.read_bytes(),
        require_client_auth=True,
    )


@pytest.fixture
async def secured(authority: Authority) -> AsyncIterator[UplinkServer]:
    async with UplinkServer(server_credentials(authority)) as server:
        yield server


@pytest.fixture
async def plain() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as server:
        yield server


def tls(authority: Authority, gateway: str = "gateway-1") -> dict[str, str]:
    pair = authority.issue(gateway)
    return {"ca": str(authority.ca), "cert": str(pair.cert), "key": str(pair.key)}


class Served:
    """The contract suite's view of the fault-injecting server."""

    def __init__(self, server: UplinkServer, settings: dict[str, str]) -> None:
        self._server, self._settings = server, settings

    def uplink(self) -> Uplink:
        return make_uplink(address=self._server.address, **self._settings)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    def accept(self, records: int | None) -> None:
        self._server.faults = Faults(commit_most=records)

    def stored(self) -> dict[Position, bytes]:
        return {
            Position(Stream.of(r.stream), r.epoch, r.seq): r.payload
            for r in self._server.store.records
        }

    def stored_twice(self) -> int:
        return len(self._server.store.records) - len(self.stored())


class TestContract(UplinkContract):
    @pytest.fixture
    def destination(self, secured: UplinkServer, authority: Authority) -> Served:
        return Served(secured, tls(authority))


async def test_hello_says_who_and_what(secured: UplinkServer, authority: Authority) -> None:
    uplink = make_uplink(address=secured.address, **tls(authority))
    terms = await uplink.connect(OFFER)
    await uplink.close()
    hello = secured.hellos[0]
    assert (hello.gateway, hello.boot_id, hello.session) == ("gateway-1", "boot-1", 1)
    assert hello.wall_ns > 0
    assert (terms.incarnation, terms.credit_bytes) == ("test-1", secured.credit_bytes)


async def test_a_gateway_of_another_authority_is_refused(
    secured: UplinkServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = tls(Authority(tmp_path / "other")) | {"ca": str(authority.ca)}
    error = await connect_error(make_uplink(address=secured.address, **stranger), OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert "compare its --client-ca" in error.hint
    assert secured.hellos == []


async def test_a_server_of_another_authority_is_refused(
    secured: UplinkServer, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "Other authority")
    files = tls(authority) | {"ca": str(other.ca)}
    error = await connect_error(make_uplink(address=secured.address, **files), OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert "TLS handshake" in error.hint
    assert secured.hellos == []


async def test_a_server_of_another_name_is_refused(
    secured: UplinkServer, authority: Authority
) -> None:
    files = tls(authority)
    error = await connect_error(
        make_uplink(address=secured.address, server_name="fleet.example.org", **files), OFFER
    )
    assert isinstance(error, UplinkUnavailable)
    assert "set server_name" in error.hint
    assert "forebay-fleet ca issue DIR --host HOST" in error.hint
    named = make_uplink(address=secured.address, server_name="localhost", **files)
    await named.connect(OFFER)
    await named.close()


async def test_a_missing_file_is_named(secured: UplinkServer, authority: Authority) -> None:
    files = tls(authority) | {"key": "/nowhere/gateway.key"}
    error = await connect_error(make_uplink(address=secured.address, **files), OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert "/nowhere/gateway.key cannot be read" in str(error)


async def test_a_file_that_is_no_certificate(
    secured: UplinkServer, authority: Authority, tmp_path: Path
) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish", encoding="ascii")
    for name in ("ca", "cert", "key"):
        files = tls(authority) | {name: str(rubbish)}
        error = await connect_error(make_uplink(address=secured.address, **files), OFFER)
        assert isinstance(error, UplinkUnavailable), name
        assert "PEM" in error.hint, name


async def test_plaintext_to_a_server_with_tls(secured: UplinkServer) -> None:
    error = await connect_error(
        make_uplink(address=secured.address, plaintext=True, connect_timeout="5 s"), OFFER
    )
    assert isinstance(error, UplinkUnavailable)


async def test_a_silent_server_is_given_up(plain: UplinkServer) -> None:
    plain.faults = Faults(no_welcome=True)
    uplink = make_uplink(address=plain.address, plaintext=True, connect_timeout="100 ms")
    error = await connect_error(uplink, OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert "agreed to no session within 0.1 s" in str(error)


async def test_a_port_that_speaks_something_else() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        uplink = make_uplink(address=f"127.0.0.1:{port}", plaintext=True, connect_timeout="5 s")
        assert (await connect_error(uplink, OFFER)).hint


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED]
)
async def test_a_refused_gateway_is_told_why(plain: UplinkServer, code: grpc.StatusCode) -> None:
    plain.faults = Faults(refuse=code)
    error = await connect_error(make_uplink(address=plain.address, plaintext=True), OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert "CN" in error.hint


async def test_a_wait_asked_for_is_kept(plain: UplinkServer) -> None:
    plain.faults = Faults(refuse=grpc.StatusCode.UNAVAILABLE, retry_s=300.25)
    error = await connect_error(make_uplink(address=plain.address, plaintext=True), OFFER)
    assert isinstance(error, UplinkUnavailable)
    assert error.wait_s == 300.25


async def test_a_server_of_another_version_is_misbehaviour(plain: UplinkServer) -> None:
    plain.faults = Faults(refuse=grpc.StatusCode.UNIMPLEMENTED)
    error = await connect_error(make_uplink(address=plain.address, plaintext=True), OFFER)
    assert isinstance(error, UplinkMisbehaved)


async def test_bytes_that_are_no_message(caplog: pytest.LogCaptureFixture) -> None:
    async def rubbish(requests: AsyncIterator[bytes], context: Any) -> None:
        await anext(aiter(requests))
        await context.write(b"\xff\xff\xff\xff")

    handler = grpc.method_handlers_generic_handler(
        "forebay.v1.Uplink", {"Session": grpc.stream_stream_rpc_method_handler(rubbish)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with caplog.at_level(logging.CRITICAL, "grpc"):
        error = await connect_error(make_uplink(address=f"127.0.0.1:{port}", plaintext=True), OFFER)
    await server.stop(None)
    assert isinstance(error, UplinkMisbehaved)


async def test_a_record_refused_for_now_comes_again(plain: UplinkServer) -> None:
    plain.faults = Faults(postpone=frozenset({2}))
    sent = [make_record(1), make_record(2)]
    uplink = make_uplink(address=plain.address, plaintext=True)
    await uplink.connect(OFFER)
    await uplink.send(sent, historical=False)
    with pytest.raises(UplinkUnavailable, match="telemetry 2 now"):
        await anext(aiter(uplink.receipts()))
    await uplink.close()
    plain.faults = Faults()
    assert (await uplink.connect(OFFER)).resume[0].committed_seq == 1
    await uplink.close()


async def test_a_closed_session_ends_its_reader(plain: UplinkServer) -> None:
    uplink = make_uplink(address=plain.address, plaintext=True)
    await uplink.connect(OFFER)

    async def read() -> None:
        async for _ in uplink.receipts():
            pass

    reader = asyncio.create_task(read(), name="reader")
    await asyncio.sleep(0)
    await uplink.close()
    with pytest.raises(UplinkUnavailable):
        await reader
    with pytest.raises(UplinkUnavailable, match="closed"):
        await uplink.send([make_record(1)], historical=False)


async def test_renewed_files_count_in_the_next_session(authority: Authority) -> None:
    files = tls(authority)
    async with UplinkServer(server_credentials(authority)) as server:
        uplink = make_uplink(address=server.address, **files)
        await uplink.connect(OFFER)
        await uplink.close()
        good = authority.ca.read_bytes()
        authority.ca.write_text("", encoding="ascii")
        assert (await connect_error(uplink, OFFER)).hint
        authority.ca.write_bytes(good)
        await uplink.connect(OFFER)
        await uplink.close()
