"""One attempt to get a certificate: the key is made here, rests durably, and is asked for.

Owns the order of these steps: a box that loses power, or the answer, anywhere on the way asks again
with the same key. Must not know when an attempt is made.
"""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from forebay import __version__
from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetRefused, FleetUnavailable, IdentityUnusable
from forebay.identity import Identity, Pending
from forebay.management import asking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.identity import IdentityStore

INSTANCE_BYTES = 16
CONNECT_TIMEOUT_S = 10.0
MAX_AUTHORITIES = 8
MAX_SIGNING_KEYS = 16


async def enroll(
    store: IdentityStore, server: tuple[str, int], token: str, gateway: str
) -> Identity:
    """Make this box `gateway` by a join token; give what it then is. The caller holds the lock.

    Raises:
        RequestInvalid: the token is not whole.
        FleetRefused: the token, or the server, is not the right one.
        FleetUnavailable: no answer; asked again with the same token, it goes on where it was.
        IdentityUnusable: the state directory cannot be written.
    """
    host, port = server
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    read = asking.read_token(token)
    chain = await asyncio.to_thread(asking.fetch_chain, host, port, CONNECT_TIMEOUT_S)
    authority = asking.pinned(chain, read.pin)
    pending = await asyncio.to_thread(_prepared, store, gateway, 0)
    request = pb.EnrollRequest(
        token=read.text,
        gateway=gateway,
        csr=pending.csr,
        bound_key=_public(pending.bound_key),
        description=description(),
    )
    try:
        answer = await asking.enroll(address, authority, request)
    except FleetRefused as error:
        if error.code != "token":
            raise
        hint = f"this box asks as {gateway}; if the token is for that id, {error.hint}"
        raise FleetRefused(str(error), hint=hint, code=error.code) from error
    identity = _identity(answer, pending, pending.instance_uid, address, pending.bound_key)
    await asyncio.to_thread(store.replace, identity)
    return identity


async def renew(store: IdentityStore, identity: Identity) -> Identity:
    """Get the next certificate by the present one. Raises as `enroll`; needs the lock."""
    pending = await asyncio.to_thread(_prepared, store, identity.gateway, identity.generation)
    return await _taken(store, identity, pending, await asking.renew(identity, pending.csr))


async def recover(store: IdentityStore, identity: Identity) -> Identity:
    """Get the next certificate by the bound key. Raises as `enroll`; needs the lock."""
    pending = await asyncio.to_thread(_prepared, store, identity.gateway, identity.generation)
    return await _taken(store, identity, pending, await asking.recover(identity, pending.csr))


def description() -> pb.AgentDescription:
    """Give how this box describes itself."""
    boot_id = system = ""
    with suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    with suppress(OSError):
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")[:128]
    return pb.AgentDescription(
        version=__version__, boot_id=boot_id, machine=os.uname().machine, os=system
    )


async def _taken(
    store: IdentityStore, identity: Identity, pending: Pending, answer: pb.Identity
) -> Identity:
    taken = _identity(
        answer, pending, identity.instance_uid, identity.enrollment_address, identity.bound_key
    )
    # The address that works stays: another one is proved first (`connecting`).
    taken = replace(taken, address=identity.address)
    if taken.generation <= identity.generation:
        raise FleetUnavailable(
            "the server gave a certificate that is not newer", hint="look at the server's log"
        )
    await asyncio.to_thread(store.replace, taken)
    return taken


def _prepared(store: IdentityStore, gateway: str, generation: int) -> Pending:
    """Give what to ask with: what was asked for before, or a new key that is durable by then."""
    try:
        pending = store.pending()
    except IdentityUnusable:
        pending = None  # damaged: nothing depends on it but one answer that may have been lost
    if pending is not None and (pending.gateway, pending.generation) == (gateway, generation):
        return pending
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pending = Pending(
        gateway=gateway,
        generation=generation,
        key=_pem(key),
        csr=csr.public_bytes(serialization.Encoding.DER),
        bound_key=b"" if generation else _pem(ed25519.Ed25519PrivateKey.generate()),
        instance_uid=b"" if generation else os.urandom(INSTANCE_BYTES),
    )
    store.prepare(pending)
    return pending


def _identity(
    answer: pb.Identity, pending: Pending, instance_uid: bytes, enrollment: str, bound_key: bytes
) -> Identity:
    """Make an identity of an answer. FleetUnavailable if it is none for this key."""
    try:
        certificate = x509.load_der_x509_certificate(answer.certificate)
        key = serialization.load_pem_private_key(pending.key, None)
        if certificate.public_key() != key.public_key():
            raise ValueError("the certificate is of another key")  # noqa: TRY301 - one handler for all
        authorities = b"".join(_authorities(answer.authorities))
        if any(len(one) != 32 for one in answer.signing_keys[:MAX_SIGNING_KEYS]):
            raise ValueError("a signing key has 32 bytes")  # noqa: TRY301 - as above
        if len(answer.sealing_key) not in (0, 32):
            raise ValueError("a sealing key has 32 bytes")  # noqa: TRY301 - as above
    except ValueError as error:
        raise FleetUnavailable(
            f"the server's answer is no identity: {error}",
            hint="compare the versions of gateway and server",
        ) from None
    return Identity(
        gateway=pending.gateway,
        instance_uid=instance_uid,
        address=answer.address,
        enrollment_address=enrollment,
        generation=answer.generation,
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=pending.key,
        authorities=authorities,
        bound_key=bound_key,
        signing_keys=tuple(answer.signing_keys[:MAX_SIGNING_KEYS]),
        root=answer.root,
        sealing_key=answer.sealing_key,
    )


def _authorities(ders: Iterable[bytes]) -> list[bytes]:
    found = [x509.load_der_x509_certificate(der) for der in [*ders][:MAX_AUTHORITIES]]
    if not found:
        raise ValueError("it names no authority")
    return [one.public_bytes(serialization.Encoding.PEM) for one in found]


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
