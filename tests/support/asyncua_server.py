"""A small asyncua server in the test's own loop, for what needs no foreign stack."""

from __future__ import annotations

import gc
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds

from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

NAMESPACE = "urn:forebay:small"


class SmallServer:
    """A running server. `values` are its variables, by name."""

    def __init__(self, server: Server, port: int, index: int) -> None:
        self.server, self.index = server, index
        self.endpoint = f"opc.tcp://127.0.0.1:{port}"

    async def add(self, values: Mapping[str, Any]) -> None:
        folder = self.server.nodes.objects
        for name, value in values.items():
            node = ua.NodeId(ua.String(name), ua.Int16(self.index))
            await folder.add_variable(node, name, value)

    async def set(self, name: str, value: ua.DataValue) -> None:
        node = ua.NodeId(ua.String(name), ua.Int16(self.index))
        await self.server.write_attribute_value(node, value)

    def ask(self, name: str, answer: Callable[..., ua.DataValue]) -> None:
        """Let `answer` give the value at each read."""
        node = ua.NodeId(ua.String(name), ua.Int16(self.index))
        space = self.server.iserver.aspace
        space.set_attribute_value_callback(node, AttributeIds.Value, answer)


async def fresh_server() -> Server:
    """Give a server with the nodes of the standard, not started."""
    server = Server()
    gc.disable()  # else collections take more than half of the time: it makes 6,000 nodes, to stay
    try:
        await server.init()
    finally:
        gc.enable()
    return server


@asynccontextmanager
async def small_server(**values: Any) -> AsyncIterator[SmallServer]:
    """Serve `values`, named variables of our namespace, without security."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = await fresh_server()
    port = free_port()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    small = SmallServer(server, port, await server.register_namespace(NAMESPACE))
    await small.add(values)
    async with server:
        yield small
