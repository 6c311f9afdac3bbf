"""The certificate that a server shows, held against the one that a person named.

Owns looking at it over a channel that proves nothing, and what is told of it. Must not know
sessions, nor our own certificate. What is shown is never trusted, whatever it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from asyncua.client.client import Client

from forebay.cancellation import strict
from forebay.drivers.opcua.faults import LIBRARY_ERRORS, translate_handshake
from forebay.drivers.opcua.identity import fingerprint, keep_shown, loaded, thumbprint
from forebay.drivers.opcua.transport import BoundedClient
from forebay.errors import DeviceError, DeviceRefused
from forebay.model import Quality

if TYPE_CHECKING:
    from asyncua import ua
    from cryptography.x509 import Certificate

    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.files import Disk
    from forebay.interfaces import DeviceSpec


class Pin(NamedTuple):
    """What a connect demanded: the certificate, and the endpoint that was to have it."""

    certificate: Certificate
    mode: ua.MessageSecurityMode
    policy: str


class Shown:
    """What the server of one device shows."""

    def __init__(self, spec: DeviceSpec, settings: OpcUaSettings, disk: Disk) -> None:
        """Ask nothing yet. `settings` are those of `spec`."""
        self._settings, self._disk = settings, disk
        self._folder = None if spec.state is None else spec.state / "shown" / spec.name

    async def unknown(self, mode: ua.MessageSecurityMode, policy: str) -> DeviceRefused:
        """Look at what the server shows, and say how a person makes it the one to trust.

        Raises DeviceErrors.
        """
        shown = await _shown(self._settings, mode, policy)
        return DeviceRefused(
            f"server_certificate is not given; the server shows one with SHA-256 {_told(shown)}"
            f"{await self._kept(shown)}",
            hint="compare this with the server's own; if they are the same, name that file as "
            "server_certificate",
            status=Quality.BAD_CONFIGURATION_ERROR,
        )

    async def other(self, pin: Pin) -> DeviceRefused | None:
        """Give what to say of a failed connect if the server shows another certificate.

        Servers that cannot read what was encrypted for their old one say so, hang up, or are
        silent. None if it shows the pinned certificate, or cannot be asked.
        """
        try:
            shown = await _shown(self._settings, pin.mode, pin.policy)
        except DeviceError:
            return None
        return None if shown == pin.certificate else await self.differs(shown, pin.certificate)

    async def differs(self, shown: Certificate, pinned: Certificate) -> DeviceRefused:
        """Say that the server shows another certificate than the pinned one, and which each is."""
        return DeviceRefused(
            "the server shows another certificate than server_certificate: one with SHA-256 "
            f"{_told(shown)}, valid from {shown.not_valid_before_utc:%Y-%m-%d}, instead of "
            f"{_told(pinned)}{await self._kept(shown)}",
            hint="if the server's certificate was renewed, compare the first with the server's own "
            "and name that file as server_certificate; if it was not, suspect the network",
            status=Quality.BAD_CONFIGURATION_ERROR,
        )

    async def _kept(self, shown: Certificate) -> str:
        if self._folder is None:
            return ""
        path = await asyncio.to_thread(keep_shown, self._folder, shown, self._disk)
        return f"; it was saved as {path}" if path else ""


def _told(certificate: Certificate) -> str:
    return f"{fingerprint(certificate)} (thumbprint {thumbprint(certificate)})"


async def _shown(settings: OpcUaSettings, mode: ua.MessageSecurityMode, policy: str) -> Certificate:
    """Give the certificate of the server's endpoint, over a channel that proves nothing."""
    doing = f"asking {settings.endpoint} for its certificate"
    client = Client(settings.endpoint, timeout=settings.timeout)
    client.uaclient = BoundedClient(settings.timeout)
    try:
        endpoints = await strict(client.connect_and_get_server_endpoints)
        return loaded(Client.find_endpoint(endpoints, mode, policy).ServerCertificate or b"")
    except LIBRARY_ERRORS as error:
        raise translate_handshake(error, doing) from error
    finally:
        if client.uaclient.protocol is not None and client.uaclient.protocol.transport is not None:
            client.uaclient.protocol.transport.abort()
