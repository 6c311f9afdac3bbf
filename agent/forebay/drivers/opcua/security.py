"""What one connection proves to its server, and what it demands of it.

Owns certificates, pinning and log-in (OPC UA Part 4, 5.6; Part 6, 6.2). Must not know sockets.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties, load_private_key

from forebay.drivers.opcua.faults import TRUST_HINT
from forebay.drivers.opcua.identity import (
    MAX_FILE_BYTES,
    OwnFiles,
    UnprotectedKeyError,
    application_uri,
    fingerprint,
    loaded,
    misfit,
    own_files,
    thumbprint,
)
from forebay.drivers.opcua.pinning import Pin, Shown
from forebay.errors import DeviceError, DeviceRefused
from forebay.events import CERTIFICATE_EXPIRES, CERTIFICATE_MADE
from forebay.model import Quality

if TYPE_CHECKING:
    from pathlib import Path

    from asyncua.client.client import Client
    from cryptography.x509 import Certificate

    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.interfaces import DeviceSpec, Seams

EXPIRES_SOON_S = 30 * 86_400
_BEING_MADE_S = 0.1
_DAY_S = 86_400
_BEST_FIRST = (
    security_policies.SecurityPolicyAes256Sha256RsaPss.URI,
    security_policies.SecurityPolicyBasic256Sha256.URI,
    security_policies.SecurityPolicyAes128Sha256RsaOaep.URI,
    security_policies.SecurityPolicyNone.URI,
)
"""How a user token may be protected; older policies than these are not used."""


class Security:
    """The security of one connection of a device."""

    def __init__(self, spec: DeviceSpec, settings: OpcUaSettings, seams: Seams) -> None:
        """Read nothing yet. `settings` are those of `spec`."""
        self._device, self._state, self._settings = spec.name, spec.state, settings
        self._clock, self._disk, self._events = seams.clock, seams.disk, seams.events
        self._ours: Certificate | None = None
        self._our_file: Path | None = None
        self._dated: list[tuple[str, Certificate]] = []
        self._shown = Shown(spec, settings, seams.disk)
        self._demanded: Pin | None = None
        self._open_pin: Pin | None = None

    async def secure(self, client: Client) -> None:
        """Load certificates and key, and let `client` use the policy with them.

        Raises DeviceRefused, with the server's fingerprint if nobody has said which one is right.
        """
        settings = self._settings
        if settings.security_policy == "None":
            return
        files = await self._own_files()
        self._our_file = files.certificate
        certificate = await self._read(files.certificate)
        key = await self._read(files.key)
        try:
            self._ours = self._own(files, certificate, key)
        except DeviceRefused as refusal:
            if settings.certificate is not None:
                raise
            hint = f"delete {files.certificate} and {files.key}; a start makes new ones"
            raise DeviceRefused(str(refusal), hint=hint, status=refusal.status) from refusal
        policy = getattr(security_policies, f"SecurityPolicy{settings.security_policy}")
        mode = ua.MessageSecurityMode[settings.security_mode]
        if settings.server_certificate is None:
            raise await self._shown.unknown(mode, policy.URI)
        pinned = await self._read(settings.server_certificate)
        certificate_of = self._load("server_certificate", settings.server_certificate, pinned)
        self._demanded = Pin(certificate_of, mode, policy.URI)
        client.application_uri = application_uri(self._ours) or client.application_uri
        await client.set_security(
            policy,
            _properties(certificate),
            _properties(key),
            server_certificate=_properties(pinned),
            mode=mode,
        )

    def reached(self) -> None:
        """Note that there is somebody at the server's address, who has proved nothing yet."""
        self._open_pin = self._demanded

    async def activate(self, client: Client) -> None:
        """Log in; a password goes over the wire encrypted or not at all."""
        settings = self._settings
        self._open_pin = None  # a session was made, so the server proved to own it
        await self._check_pinned(client)
        # asyncua takes the first that the server names: let that be the strongest it has
        client._policy_ids = sorted(client._policy_ids, key=lambda p: _rank(client, p))  # noqa: SLF001
        if settings.user_certificate is not None and settings.user_key is not None:
            content = await self._read(settings.user_certificate)
            certificate = self._load("user_certificate", settings.user_certificate, content)
            key = _properties(await self._read(settings.user_key))
            self._demand(client, ua.UserTokenType.Certificate)
            client.user_private_key = await load_private_key(
                key.path_or_content, None, key.extension
            )
            await client.activate_session(certificate=certificate)
        elif settings.username and settings.password_file is not None:
            self._demand(client, ua.UserTokenType.UserName)
            raw = await self._read(settings.password_file)
            await client.activate_session(
                username=settings.username, password=password(raw, settings.password_file)
            )
        else:
            await client.activate_session()

    async def explained(self, error: DeviceError) -> DeviceError:
        """Say more of a failed connect: that the server shows another certificate than the pinned.

        Else name our certificate where the server is to trust it.
        """
        if self._open_pin is not None and (other := await self._shown.other(self._open_pin)):
            return other
        if error.hint != TRUST_HINT or self._ours is None:
            return error
        hint = (
            f"let the server trust our certificate {self._our_file} "
            f"(thumbprint {thumbprint(self._ours)}) with the URI {application_uri(self._ours)}"
        )
        return type(error)(str(error), hint=hint, status=error.status)

    def tell_expiry(self) -> None:
        """Tell of certificates that have expired or will soon. For once a connection and day."""
        now_s = self._clock.now_ns() / 1e9
        for name, certificate in self._dated:
            left_s = certificate.not_valid_after_utc.timestamp() - now_s
            if left_s < EXPIRES_SOON_S:
                self._events.emit(
                    CERTIFICATE_EXPIRES,
                    device=self._device,
                    certificate=name,
                    expires=f"{certificate.not_valid_after_utc:%Y-%m-%d}",
                    days=int(left_s // _DAY_S),
                    hint="renew it in time: a server refuses one that is too old",
                )

    # --- parts -----------------------------------------------------------------------------------

    async def _own_files(self) -> OwnFiles:
        settings, state = self._settings, self._state
        if settings.certificate is not None and settings.key is not None:
            return OwnFiles(settings.certificate, settings.key, made=False)
        if state is None:
            raise DeviceRefused(
                "there is no certificate, and no directory in which one could be kept",
                hint="give certificate and key",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
        host, now_ns = socket.gethostname(), self._clock.now_ns()
        try:
            while (
                files := await asyncio.to_thread(own_files, state, host, now_ns, self._disk)
            ) is None:
                await self._clock.sleep(_BEING_MADE_S)
        except UnprotectedKeyError as error:
            raise DeviceRefused(
                str(error), hint=error.hint, status=Quality.BAD_CONFIGURATION_ERROR
            ) from error
        except OSError as error:
            raise DeviceRefused(
                f"cannot keep a certificate of our own in {state}: {error.strerror}",
                hint="let the agent write there, or give certificate and key",
                status=Quality.BAD_CONFIGURATION_ERROR,
            ) from error
        if files.made:
            certificate = loaded(await self._read(files.certificate))
            self._events.emit(
                CERTIFICATE_MADE,
                device=self._device,
                path=str(files.certificate),
                uri=application_uri(certificate),
                thumbprint=thumbprint(certificate),
                sha256=fingerprint(certificate),
                hint="let the servers trust it",
            )
        return files

    def _own(self, files: OwnFiles, content: bytes, key: bytes) -> Certificate:
        """Give our certificate, if the key is that of it."""
        certificate = self._load("certificate", files.certificate, content)
        wrong = misfit(certificate, key)
        if wrong is not None:
            raise DeviceRefused(
                f"{files.key} {wrong}",
                hint="name the key that belongs to certificate, as PEM or DER",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
        return certificate

    async def _check_pinned(self, client: Client) -> None:
        """Hold what the server shows without a policy against the pinned certificate, if any."""
        settings = self._settings
        if settings.security_policy != "None" or settings.server_certificate is None:
            return
        content = await self._read(settings.server_certificate)
        pinned = self._load("server_certificate", settings.server_certificate, content)
        shown = client.security_policy.peer_certificate
        if not shown:
            raise DeviceRefused(
                "the server shows no certificate, and server_certificate names one",
                hint="use a security_policy, or remove server_certificate",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
        if (certificate := loaded(shown)) != pinned:
            raise await self._shown.differs(certificate, pinned)

    def _demand(self, client: Client, kind: ua.UserTokenType) -> None:
        """Refuse to log in where that would give the password, or nothing, away."""
        policy = client.server_policy(kind).SecurityPolicyUri
        is_open = not policy or policy == security_policies.SecurityPolicyNone.URI
        encrypted = client.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        if is_open and not (encrypted and kind == ua.UserTokenType.UserName):
            what = "password" if kind == ua.UserTokenType.UserName else "user's certificate"
            raise DeviceRefused(
                f"the server would take the {what} in the clear, without proof",
                hint="use a security_policy, or let the server ask for protected user tokens",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )

    def _load(self, name: str, path: Path, content: bytes) -> Certificate:
        try:
            certificate = loaded(content)
        except ValueError as error:
            raise DeviceRefused(
                f"{path} holds no certificate",
                hint=f"name a PEM or DER file as {name}",
                status=Quality.BAD_CONFIGURATION_ERROR,
            ) from error
        self._dated.append((name, certificate))
        return certificate

    async def _read(self, path: Path) -> bytes:
        try:
            return await asyncio.to_thread(self._disk.read_bytes, path, MAX_FILE_BYTES)
        except OSError as error:
            raise DeviceRefused(
                f"cannot read {path}: {error.strerror}",
                hint="check the path and who may read the file",
                status=Quality.BAD_CONFIGURATION_ERROR,
            ) from error


def password(content: bytes, path: Path) -> str:
    """Give the password in `content` of the file at `path`. DeviceRefused if it is not UTF-8."""
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise DeviceRefused(
            f"{path} is not UTF-8",
            hint="save password_file as UTF-8",
            status=Quality.BAD_CONFIGURATION_ERROR,
        ) from None


def _properties(content: bytes) -> CertProperties:
    return CertProperties(content, "pem" if b"-----BEGIN" in content else "der")


def _rank(client: Client, policy: ua.UserTokenPolicy) -> int:
    uri = policy.SecurityPolicyUri or client.security_policy.URI
    return _BEST_FIRST.index(uri) if uri in _BEST_FIRST else len(_BEST_FIRST)
