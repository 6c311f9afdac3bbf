"""A small asyncua server with a certificate that its owner may renew."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from asyncua import ua

from support.asyncua_server import NAMESPACE, SmallServer, fresh_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


@asynccontextmanager
async def secured_server(
    port: int, files: Mapping[str, Path], **values: Any
) -> AsyncIterator[SmallServer]:
    """Serve `values` with and without Basic256Sha256; `files` are `certificate` and `key`."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = await fresh_server()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    kinds = ua.SecurityPolicyType
    server.set_security_policy([kinds.NoSecurity, kinds.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(cast("Any", files["certificate"]))
    await server.load_private_key(cast("Any", files["key"]), format="pem")
    small = SmallServer(server, port, await server.register_namespace(NAMESPACE))
    await small.add(values)
    async with server:
        yield small
