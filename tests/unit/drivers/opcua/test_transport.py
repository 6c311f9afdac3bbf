"""The transport under asyncua's session: bounded, and by our clock."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncua.ua
import pytest
from asyncua.ua.attribute_ids import AttributeIds

from forebay.drivers.opcua.transport import (
    BoundedProtocol,
    OwnClockConnection,
    PreparedRead,
    encoded_node,
)

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


def test_a_prepared_request_is_what_asyncua_would_send() -> None:
    """Over a protocol of each kind: the bytes on the wire are the same, and the next are not."""

    class Wire(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.sent: list[bytes] = []

        def write(self, data: Any) -> None:
            self.sent.append(bytes(data))

    ids: list[Any] = [5, 1007, 70_000, "Press.Force", uuid.UUID(int=7), b"\x01\x02"]
    nodes = [ua.NodeId(i, n % 3) for n, i in enumerate(ids)]
    full = ua.ReadRequest()
    full.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    full.Parameters.NodesToRead = [ua.ReadValueId(node, AttributeIds.Value) for node in nodes]
    prepared = PreparedRead([encoded_node(node) for node in nodes])
    prepared.head.RequestHeader.Timestamp = full.RequestHeader.Timestamp
    plain = ua.ReadRequest()
    wires = []
    for request in (full, prepared):
        loop = asyncio.new_event_loop()
        wire, protocol = Wire(), BoundedProtocol(1.0)
        protocol.connection_made(wire)

        async def send(protocol: Any = protocol, request: Any = request) -> None:
            for each in (request, plain):
                protocol._send_request(each)  # noqa: SLF001 - where the bytes are made

        loop.run_until_complete(send())
        loop.close()
        wires.append(wire.sent)
    assert wires[0][0] == wires[1][0]
    assert wires[0][1] == wires[1][1]
    assert len(wires[0][1]) < len(wires[0][0])
