"""Ports: the address, of gRPC the certificate, and that plaintext never leaves the machine.

Must not know what is served.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from forebay_fleet.errors import UsageError
from forebay_fleet.tls import server_credentials

if TYPE_CHECKING:
    import grpc

    from forebay_fleet.tls import Credentials


def place(address: str) -> tuple[str, int, bool]:
    """Give host and port of IP:PORT or [IPv6]:PORT, and whether it is loopback. UsageError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        loopback, number = ipaddress.ip_address(host).is_loopback, int(port)
    except ValueError:
        number, loopback = -1, False
    if not 0 <= number < 65_536:
        raise UsageError(
            f"{address!r} is no address to listen on", hint="write IP:PORT or [IPv6]:PORT"
        )
    return host, number, loopback


def listen(
    server: grpc.aio.Server, address: str, files: Credentials | None, *, mutual: bool
) -> int:
    """Have `server` listen on IP:PORT; give the port. `mutual` asks clients for a certificate.

    Raises:
        UsageError: an address that cannot be listened on, or is not loopback without `files`.
        CertificateError: certificate files that cannot be used.
    """
    host, _, loopback = place(address)
    if files is None and not loopback:
        raise UsageError(
            f"plaintext on {host} is refused", hint="use certificates, or listen on 127.0.0.1"
        )
    try:
        if files is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, server_credentials(files, mutual=mutual))
    except RuntimeError:
        raise UsageError(
            f"cannot listen on {address}", hint="is the port in use, the certificate sound?"
        ) from None
