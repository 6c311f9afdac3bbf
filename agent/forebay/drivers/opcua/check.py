"""What an OPC UA device's files say by themselves, and what is still to be given.

Owns every check of certificates that needs no server. Must not know asyncua.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from forebay.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.interfaces import DeviceSpec

_CERTIFICATES = ("certificate", "server_certificate", "user_certificate")


def check(spec: DeviceSpec) -> Iterator[Fault]:
    """See `DriverSpec.check`.

    What time alone brings about, and what only the server can tell, is no reason not to start.
    """
    settings = cast("OpcUaSettings", spec.settings)
    if not settings.enabled:
        return
    place = f"devices.{spec.name}"
    if settings.security_policy != "None" and settings.server_certificate is None:
        yield Fault(
            f"{place}.server_certificate",
            "is not given, and no server is trusted without it",
            "start the agent: its log tells the fingerprint of the one that the server shows, and "
            'where it was saved; or write security_policy = "None" to send all in the clear',
            stops=False,
            awaited=True,
        )
    if settings.security_policy != "None" and settings.key is None and spec.state is not None:
        yield from _own_key_faults(spec.state / "own.key", f"{place}.key")
    for name in _CERTIFICATES:
        path = getattr(settings, name)
        if path is not None:
            yield from _certificate_faults(path, f"{place}.{name}")
    for name in ("key", "user_key"):
        path, other = getattr(settings, name), name.replace("key", "certificate")
        if path is not None:
            yield from _key_faults(path, getattr(settings, other), f"{place}.{name}")


def _own_key_faults(path: Path, place: str) -> Iterator[Fault]:
    """Judge the key that an earlier start made: this device alone waits until it is protected."""
    from forebay.drivers.opcua.identity import UnprotectedKeyError, is_private

    try:
        if is_private(path):
            return
    except OSError:
        return  # another user's
    open_to_others = UnprotectedKeyError(path)
    yield Fault(place, str(open_to_others), open_to_others.hint, stops=False)


def _certificate_faults(path: Path, place: str) -> Iterator[Fault]:
    from forebay.drivers.opcua.identity import loaded

    try:
        certificate = loaded(path.read_bytes())
    except OSError:
        return  # told by whoever looks after named files
    except ValueError:
        yield Fault(place, "holds no certificate", "name a PEM or DER file")
        return
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        ended = f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
        yield Fault(place, ended, "renew it", stops=False)
    elif now < certificate.not_valid_before_utc:
        begins = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        yield Fault(place, begins, "compare this machine's clock", stops=False)


def _key_faults(path: Path, certificate: Path, place: str) -> Iterator[Fault]:
    """Find what is wrong with a key by itself, and whether it is the certificate's."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        load_der_private_key,
        load_pem_private_key,
    )

    from forebay.drivers.opcua.identity import loaded

    try:
        content, of = path.read_bytes(), loaded(certificate.read_bytes())
        load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
        key = load(content, None)
    except OSError:
        return  # told by whoever looks after named files
    except TypeError:
        hint = "an agent starts alone: take it out with `openssl pkey -in KEY -out NEW`"
        yield Fault(place, "is locked with a passphrase", hint)
    except (ValueError, UnsupportedAlgorithm):
        yield Fault(place, "holds no private key, or its certificate is none", "name PEM or DER")
    else:
        if not isinstance(key, RSAPrivateKey):
            yield Fault(place, "is not an RSA key", "these security policies take no other")
        elif key.public_key() != of.public_key():
            hint = "name the two files that were made together"
            yield Fault(place, "is not the key of its certificate", hint)
