"""What settings name by a path: the password, and the TLS context of the certificates.

Owns reading these files, bounded and away from the event loop. Must not know aiomqtt. They are read
for each connection, so that renewed ones count.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, NamedTuple

from forebay.errors import ForebayError

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.files import Disk
    from forebay.mqttclient.settings import BrokerSettings

_MAX_FILE_BYTES = 64 << 10


class CredentialsUnusable(ForebayError):
    """A file of the credentials cannot be read, or holds something else."""


class Credentials(NamedTuple):
    """What shows who we are, and who the broker has to be; None where it is not asked for."""

    password: str | None
    tls: ssl.SSLContext | None


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that closes itself if the handshake fails, as paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base
        """Shake hands; raises what ssl raises."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


async def read_credentials(settings: BrokerSettings, disk: Disk) -> Credentials:
    """Read what `settings` name. Raises CredentialsUnusable."""
    password = await _password(settings, disk)
    return Credentials(password, await _tls(settings, disk) if settings.tls else None)


async def _password(settings: BrokerSettings, disk: Disk) -> str | None:
    path = settings.password_file
    if path is None:
        return None
    try:
        return (await _read(path, disk)).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialsUnusable(
            f"{path} is not UTF-8 text", hint="write the password alone into it"
        ) from None


async def _tls(settings: BrokerSettings, disk: Disk) -> ssl.SSLContext:
    """Give a context that verifies the broker, its name included."""
    try:
        context = ssl.create_default_context()
        if settings.ca is not None:
            pem = await _read(settings.ca, disk)
            context = ssl.create_default_context(cadata=pem.decode())
        if settings.certificate is not None:
            await asyncio.to_thread(context.load_cert_chain, settings.certificate, settings.key)
        context.sslsocket_class = TlsSocket
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CredentialsUnusable(
            f"cannot use ca, certificate or key: {error}",
            hint="they are PEM files, and the key is that of the certificate",
        ) from error
    return context


async def _read(path: Path, disk: Disk) -> bytes:
    try:
        return await asyncio.to_thread(disk.read_bytes, path, _MAX_FILE_BYTES)
    except OSError as error:
        raise CredentialsUnusable(
            f"{path} cannot be read: {error.strerror}",
            hint="give the agent's user the right to read it, or correct the path",
        ) from error
