"""What the files of mutual TLS say by themselves: whose they are, whether they fit, until when.

Owns every check of their contents that needs no server. Must not know gRPC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from forebay.errors import Fault, IdentityUnusable
from forebay.files import SystemDisk
from forebay.identity import ENROLL_HINT, NOT_ENROLLED, IdentityStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.x509 import Certificate

    from forebay.uplinks.grpc.config import GrpcSettings

_ISSUE = "forebay-fleet ca issue DIR --gateway"


def check(gateway: str, name: str, settings: GrpcSettings) -> Iterator[Fault]:
    """Find what a server could only refuse: see `UplinkSpec.check`.

    What time alone brings about, as an expired certificate, is no reason not to start.
    """
    if settings.identity is not None:
        yield from _identity_faults(settings.identity, gateway, f"uplinks.{name}.identity")
        return
    if settings.ca is None or settings.cert is None or settings.key is None:
        return
    place = f"uplinks.{name}"
    authorities = _certificates(settings.ca, f"{place}.ca")
    if isinstance(authorities, Fault):
        yield authorities
    else:
        hint = "ask the server's operator for the current ca.crt"
        late = [_out_of_time(one, f"{place}.ca", hint) for one in authorities]
        yield from (late[0],) if late[0] and all(late) else ()
    chain = _certificates(settings.cert, f"{place}.cert")
    if isinstance(chain, Fault):
        yield chain
        yield from _key_faults(settings.key, f"{place}.key", None)
        return
    yield from _name_faults(chain[0], gateway, f"{place}.cert")
    if late_fault := _out_of_time(chain[0], f"{place}.cert", f"issue one: {_ISSUE} {gateway}"):
        yield late_fault
    yield from _key_faults(settings.key, f"{place}.key", chain[0])


def _identity_faults(folder: Path, gateway: str, place: str) -> Iterator[Fault]:
    """Find what is wrong with an enrollment. One that is to come is awaited: no restart needed."""
    try:
        identity = IdentityStore(folder, SystemDisk()).current()
    except IdentityUnusable as error:
        yield Fault(place, str(error), error.hint, stops=False)
        return
    if identity is None:
        yield Fault(place, NOT_ENROLLED, ENROLL_HINT, stops=False, awaited=True)
    elif identity.gateway != gateway:
        yield Fault(
            place,
            f"this box is enrolled as {identity.gateway!r}, and gateway.id is {gateway!r}",
            "write the id that it is enrolled as, or enroll it anew",
            stops=False,
        )


def _certificates(path: Path, place: str) -> list[Certificate] | Fault:
    """Give the certificates of a PEM file, at least one, or the fault for which there is none."""
    from cryptography import x509

    data = path.read_bytes()
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        if b"PRIVATE KEY-----" in data:
            return Fault(
                place,
                "is a private key, not a certificate",
                "name the .crt file; this one is `key`",
            )
        return Fault(place, "holds no certificate in PEM", "name a file as `ca issue` writes it")


def _name_faults(certificate: Certificate, gateway: str, place: str) -> Iterator[Fault]:
    from cryptography.x509.oid import NameOID

    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        names = []
    if [one.value for one in names] != [gateway]:
        written = ", ".join(repr(one.value)[:70] for one in names) or "missing"
        yield Fault(
            place,
            f"its CN is {written}, and gateway.id is {gateway!r}",
            f"use the certificate of this gateway, or issue one: {_ISSUE} {gateway}",
        )


def _out_of_time(certificate: Certificate, place: str, hint: str) -> Fault | None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        return Fault(place, f"expired on {ended}", hint, stops=False)
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        hint = "compare this machine's clock"
        return Fault(place, f"is not valid before {begins}", hint, stops=False)
    return None


def _key_faults(path: Path, place: str, certificate: Certificate | None) -> Iterator[Fault]:
    """Find what is wrong with the key, by itself and, if there is one, with its certificate."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = path.read_bytes()
    try:
        key = load_pem_private_key(data, None)
        fits = certificate is None or key.public_key() == certificate.public_key()
    except TypeError:
        hint = "an agent starts alone: take it out with `openssl pkey -in KEY -out NEW`"
        yield Fault(place, "is locked with a passphrase", hint)
    except (ValueError, UnsupportedAlgorithm):
        if b"BEGIN CERTIFICATE" in data:
            yield Fault(place, "is a certificate, not a key", "name the .key file")
        else:
            yield Fault(place, "holds no private key in PEM", "name the .key file of `cert`")
    else:
        if not fits:
            hint = "name the two files that were issued together"
            yield Fault(place, "is not the key of the certificate in `cert`", hint)
