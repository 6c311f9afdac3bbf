"""gRPC's own words of calls that failed, and what a person is told."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from forebay.callwords import MOST, plain
from support.processes import free_port

ALL = "failed to connect to all addresses; last error: "
REMOTE = "Failed to connect to remote host: Connection refused"
TLS = (
    "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:"
    "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate in certificate chain: OK ("
)


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            f"{ALL}UNKNOWN: ipv4:192.0.2.1:7443: {REMOTE}",
            "192.0.2.1:7443 cannot be reached: connection refused",
        ),
        (
            f"{ALL}UNKNOWN: ipv6:%5B::1%5D:1: {REMOTE}",
            "[::1]:1 cannot be reached: connection refused",
        ),
        (
            f"{ALL}UNKNOWN: ipv4:127.0.0.1:7443: {TLS}",
            "127.0.0.1:7443 is not trusted: self signed certificate in certificate chain",
        ),
        (
            f"{ALL}UNAVAILABLE: ipv4:127.0.0.1:9: Handshake read failed (Socket closed)",
            "127.0.0.1:9: no TLS came about: Handshake read failed (Socket closed)",
        ),
        (
            f"{ALL}UNAVAILABLE: ipv4:127.0.0.1:9: Socket closed",
            "127.0.0.1:9 cannot be reached: Socket closed",
        ),
        (
            "errors resolving no.invalid:1: [field:hostname lookup error:address lookup failed]",
            "no.invalid:1 is no name that can be resolved",
        ),
        ("the server is\nstopping", "UNAVAILABLE: the server is stopping"),
        (None, "UNAVAILABLE: no details"),
    ],
)
def test_it_is_said_in_its_shortest_form(details: str | None, told: str) -> None:
    assert plain("UNAVAILABLE", details) == told


def test_it_has_a_limit() -> None:
    assert len(plain("UNKNOWN", "x" * 10_000)) == MOST
    assert len(plain("UNKNOWN", f"{ALL}UNKNOWN: ipv4:1: {'y' * 10_000}")) == MOST


async def test_these_are_the_words_of_this_grpc() -> None:
    port = free_port()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/a/b")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")
    told = plain(failed.value.code().name, failed.value.details())
    assert told == f"127.0.0.1:{port} cannot be reached: connection refused"
