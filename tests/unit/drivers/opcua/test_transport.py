"""The transport under asyncua's session: bounded, and by our clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncua.ua
import pytest

from forebay.drivers.opcua.transport import BoundedProtocol, OwnClockConnection

ua: Any = asyncua.ua


def test_an_endless_chunk_ends_the_connection_before_it_is_collected() -> None:
    class Transport(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    transport = Transport()
    protocol = BoundedProtocol(1.0)
    protocol.connection_made(transport)
    protocol.data_received(b"MSGF\xff\xff\xff\x7f" + b"x" * 70_000)
    protocol.data_received(b"x")
    assert transport.aborted


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(days=4000), timedelta(days=-4000)])
def test_a_renewed_channel_takes_the_old_token_for_a_while_whatever_the_servers_clock_says(
    behind: timedelta,
) -> None:
    connection: Any = BoundedProtocol(1.0)._connection  # noqa: SLF001 - as the protocol has it
    assert isinstance(connection, OwnClockConnection)
    for number in (1, 2):
        answer = ua.OpenSecureChannelResult()
        answer.SecurityToken.TokenId = ua.UInt32(number)
        answer.SecurityToken.RevisedLifetime = ua.UInt32(3_600_000)
        answer.SecurityToken.CreatedAt = datetime.now(UTC) - behind
        kind = ua.SecurityTokenRequestType
        connection.set_channel(answer, kind.Issue if number == 1 else kind.Renew, b"")
    connection.revolve_tokens()
    header = ua.SymmetricAlgorithmHeader()
    header.TokenId = ua.UInt32(1)
    connection._check_sym_header(header)  # noqa: SLF001 - raises for one that is too old
