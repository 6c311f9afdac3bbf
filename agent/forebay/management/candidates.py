"""Where a fleet server wants this box to come from now on: whether to believe that, what it means.

Pure, but for STATE/fleet/connection.json: the newest settings that were believed and what came of
them, durable before they are tried, so that an older offer is told from a newer after any restart.
Must not know the network, nor how a way to a server is tried (`connecting`).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf.message import DecodeError

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetRefused, IdentityUnusable
from forebay.management.certifying import MAX_AUTHORITIES, MAX_SIGNING_KEYS
from forebay.management.offers import digest, is_signed

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.files import Disk
    from forebay.identity import Identity

KIND = "connection"
MAX_BYTES = 64 << 10
RECORD = "connection.json"
MAX_RECORD_BYTES = 8192
MAX_ERROR = 500
MAX_HOST = 253


@dataclass(frozen=True, slots=True)
class Record:
    """The newest settings that were believed: version, hash of the payload, whose they were.

    `instance` is the enrollment (Identity.instance_uid in hex): another server counts anew. `error`
    says why they were not kept, once they have `ended`.
    """

    version: int = 0
    payload: str = ""
    instance: str = ""
    offer_id: str = ""
    ended: bool = False
    error: str = ""


def verify(
    signed: pb.Signed, identity: Identity, known: Record, now_ns: int | None
) -> pb.ConnectionSettings:
    """Give the settings that `signed` holds, if this box is to believe them.

    `now_ns` is the wall clock, None while nobody vouches for it: then no end is held against it.

    Raises:
        FleetRefused: they are of another kind, not signed as they must be, for another box, older
            than what was seen, at their end, or not sound.
    """
    if signed.kind != KIND or len(signed.payload) > MAX_BYTES:
        raise _no("kind", "these are no connection settings")
    if not is_signed(signed, identity.signing_keys):
        raise _no("signature", "no key that this box knows has signed them")
    settings = pb.ConnectionSettings()
    try:
        settings.ParseFromString(signed.payload)
    except DecodeError:
        raise _no("kind", "they cannot be read") from None
    if settings.gateway != identity.gateway:
        raise _no("gateway", f"they are for {settings.gateway[:64]!r}")
    if settings.version < known.version:
        text = f"they are a replay: version {settings.version}, and {known.version} was seen"
        raise _no("replay", text)
    if digest(signed) != known.payload:
        if settings.version == known.version:
            raise _no("mixed", f"there are two of version {settings.version}")
        if now_ns is not None and settings.expires_ns <= now_ns:
            raise _no("expired", "they have expired")
    _check(settings, signed)
    return settings


def _check(settings: pb.ConnectionSettings, signed: pb.Signed) -> None:
    """Raise FleetRefused for settings by which no box could come."""
    for address in (settings.address, settings.enrollment_address):
        if address and not is_address(address):
            raise _no("invalid", f"{address[:64]!r} is no HOST:PORT")
    keys = settings.signing_keys
    if len(settings.authorities) > MAX_AUTHORITIES or len(keys) > MAX_SIGNING_KEYS:
        raise _no("invalid", "they name too many authorities or keys")
    try:
        _pem(settings)
    except ValueError as error:
        raise _no("invalid", f"an authority is no certificate: {error}") from None
    if any(len(key) != 32 for key in keys):
        raise _no("invalid", "a signing key has 32 bytes")
    # Who is to be believed from now on shows that the key is there, and not a slip of the hand.
    if keys and not is_signed(signed, keys):
        raise _no("signature", "none of the new signing keys has signed them")


def is_address(text: str) -> bool:
    """Whether this is HOST:PORT, or [IPv6]:PORT."""
    host, _, port = text.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    sound = 0 < len(plain) <= MAX_HOST and plain.isascii() and plain.isprintable()
    sound = sound and not set(plain) & set(" /@[],%")
    sound = sound and (":" not in plain or plain is not host)
    return sound and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536


def settings_of(signed: pb.Signed) -> pb.ConnectionSettings:
    """Give what settings say of themselves, believed or not; empty if they cannot be read."""
    settings = pb.ConnectionSettings()
    with contextlib.suppress(DecodeError):
        settings.ParseFromString(signed.payload[:MAX_BYTES])
    return settings


def applied(identity: Identity, settings: pb.ConnectionSettings) -> Identity:
    """Give the identity with what `settings` say; what they leave empty stays."""
    return replace(
        identity,
        address=settings.address or identity.address,
        enrollment_address=settings.enrollment_address or identity.enrollment_address,
        authorities=_pem(settings) or identity.authorities,
        signing_keys=tuple(settings.signing_keys) or identity.signing_keys,
    )


def read_record(folder: Path, disk: Disk, instance: str) -> Record:
    """Give what was seen since this enrollment, nothing if that is no settings.

    Raises:
        IdentityUnusable: it cannot be read.
    """
    path = folder / RECORD
    try:
        found = json.loads(disk.read_bytes(path, MAX_RECORD_BYTES))
        record = Record(
            version=int(found["version"]),
            payload=str(found["payload"]),
            instance=str(found["instance"]),
            offer_id=str(found["offer_id"]),
            ended=bool(found["ended"]),
            error=str(found["error"]),
        )
    except FileNotFoundError:
        return Record(instance=instance)
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "enroll anew; until then this box takes no other connection"
        raise IdentityUnusable(f"{path}: {error}", hint=hint) from None
    return record if record.instance == instance else Record(instance=instance)


def write_record(folder: Path, disk: Disk, record: Record) -> None:
    """Keep it durably. Raises IdentityUnusable."""
    path = folder / RECORD
    try:
        disk.write_atomic(path, json.dumps(asdict(record)).encode())
    except OSError as error:
        raise IdentityUnusable(f"{path}: {error.strerror}", hint="check the disk") from error


def _pem(settings: pb.ConnectionSettings) -> bytes:
    """Give the authorities, one PEM after the other. ValueError if one is none."""
    found = (x509.load_der_x509_certificate(der) for der in settings.authorities)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)


def _no(code: str, message: str) -> FleetRefused:
    hint = "move it again: forebay-fleet move --help; compare the versions of gateway and server"
    return FleetRefused(message, hint=hint, code=code)
