"""Asks a fleet server for certificates: the calls of `Enrollment`, and `Fleet.Renew`.

Owns channels, deadlines, and what each answer of gRPC means for a box. Before a token is sent the
server has shown that it is of the authority that the token names. Must not know when anything is
asked, nor where an identity rests.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from forebay._proto import fleet_pb2 as pb
from forebay._proto import fleet_pb2_grpc
from forebay.callwords import plain
from forebay.cancellation import StrayCancellation, strict
from forebay.errors import FleetError, FleetRefused, FleetUnavailable, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from forebay.identity import Identity

T = TypeVar("T")

TOKEN_PREFIX = "fbt1_"  # noqa: S105 - what a token's text begins with
SECRET_BYTES, PIN_BYTES = 20, 32
MAX_TOKEN_CHARACTERS = 128
DEADLINE_S = 20.0
MAX_ANSWER_BYTES = 4 << 20
MAX_CHAIN = 8

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_FINAL = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}
_TLS_HINT = (
    "the TLS handshake failed: compare both machines' clocks, and the host that is dialled with "
    "the names in the server's certificate; enrollment has a port of its own, 7444 if nobody chose "
    "another"
)
_AWAY_HINT = "check that the server runs and the network reaches its address"


class Token(NamedTuple):
    """What a join token says. `pin` is the SHA-256 of its authority's SubjectPublicKeyInfo."""

    text: str
    pin: bytes


def read_token(text: str) -> Token:
    """Read a token as `forebay-fleet token create` printed it.

    Raises:
        RequestInvalid: it is none, or a letter is missing or wrong.
    """
    text = text.strip()
    try:
        body = base64.urlsafe_b64decode(
            text[:MAX_TOKEN_CHARACTERS].removeprefix(TOKEN_PREFIX) + "=="
        )
    except ValueError:
        body = b""
    sound = (
        text.startswith(TOKEN_PREFIX)
        and len(body) == SECRET_BYTES + PIN_BYTES + 4
        and zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "big")
    )
    if not sound:
        raise RequestInvalid("this is no whole join token", hint="copy all of it, from fbt1_ on")
    return Token(text, body[SECRET_BYTES:-4])


def fetch_chain(host: str, port: int, timeout_s: float) -> list[bytes]:
    """Give the certificates, DER, that a TLS server shows. Nothing is verified, nothing sent.

    Raises:
        FleetUnavailable: no TLS server answers there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the caller compares with its pin, and sends nothing here
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            return _chain(secured)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FleetUnavailable(
            f"no fleet server answers at {host}:{port}: {reason}",
            hint="check the address and its port for enrollment (--enroll-listen of the server)",
        ) from None


def _chain(secured: ssl.SSLSocket) -> list[bytes]:
    if hasattr(secured, "get_unverified_chain"):  # Python 3.13
        return [bytes(one) for one in secured.get_unverified_chain()[:MAX_CHAIN]]
    # Until 3.12 only the inner object has it; those versions change no more.
    inner = secured._sslobj  # type: ignore[attr-defined] # noqa: SLF001
    found = inner.get_unverified_chain() or []
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found[:MAX_CHAIN]]


def pinned(chain: list[bytes], pin: bytes) -> bytes:
    """Give the certificate of `chain` whose key has the SHA-256 `pin`, PEM.

    It then is the only root: whoever shows it without its key gets no further.

    Raises:
        FleetRefused: none has.
    """
    for der in chain:
        try:
            certificate = x509.load_der_x509_certificate(der)
            key = certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        except ValueError:
            continue
        if hashlib.sha256(key).digest() == pin:
            return certificate.public_bytes(serialization.Encoding.PEM)
    raise FleetRefused(
        "this server is not of the authority that the token names; nothing was sent to it",
        hint="check the address; if the fleet's CA was replaced, make a fresh token",
        code="pin",
    )


async def enroll(address: str, authority: bytes, request: pb.EnrollRequest) -> pb.Identity:
    """Use a token. `authority` is what `pinned` gave. Raises FleetRefused, FleetUnavailable."""
    async with channel(address, grpc.ssl_channel_credentials(authority)) as opened:
        stub = fleet_pb2_grpc.EnrollmentStub(opened)
        return await _answer(stub.Enroll, request)


async def recover(identity: Identity, csr: bytes) -> pb.Identity:
    """Get a certificate by the bound key. Raises FleetRefused, FleetUnavailable."""
    credentials = grpc.ssl_channel_credentials(identity.authorities)
    async with channel(identity.enrollment_address, credentials) as opened:
        stub = fleet_pb2_grpc.EnrollmentStub(opened)
        asked = pb.ChallengeRequest(gateway=identity.gateway)
        nonce: bytes = (await _answer(stub.Challenge, asked)).nonce
        request = pb.RecoverRequest(
            gateway=identity.gateway,
            nonce=nonce,
            csr=csr,
            generation=identity.generation,
            signature=prove(identity, nonce, csr),
        )
        return await _answer(stub.Recover, request)


def prove(identity: Identity, nonce: bytes, csr: bytes) -> bytes:
    """Sign a recovery with the bound key: see `RecoverRequest.signature`."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = serialization.load_pem_private_key(identity.bound_key, None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    number = identity.generation.to_bytes(8, "big")
    return key.sign(b"forebay recover v1\0" + nonce + hashlib.sha256(csr).digest() + number)


async def renew(identity: Identity, csr: bytes) -> pb.Identity:
    """Get the next certificate by the present one. Raises FleetRefused, FleetUnavailable."""
    async with channel(identity.address, credentials(identity)) as opened:
        stub = fleet_pb2_grpc.FleetStub(opened)
        request = pb.RenewRequest(csr=csr, generation=identity.generation)
        return await _answer(stub.Renew, request)


async def reach(identity: Identity) -> None:
    """See that a server of this fleet, which knows this box, answers at its address.

    Nothing is changed there: it is asked for a content that it has not. The stream that this box
    has, be it with the same server, stays open.

    Raises:
        FleetRefused: one answers, and has no place for this box.
        FleetUnavailable: none answers.
    """
    async with channel(identity.address, credentials(identity)) as opened:
        call = fleet_pb2_grpc.FleetStub(opened).Fetch(
            pb.FetchRequest(sha256=bytes(32)), timeout=DEADLINE_S
        )
        try:
            await strict(call.read)
            code = await call.code()
            text, trailers = await call.details(), await call.trailing_metadata()
            error = grpc.aio.AioRpcError(code, None, trailers, text)
        except grpc.aio.AioRpcError as caught:
            error = caught
        except (StrayCancellation, asyncio.InvalidStateError):
            raise FleetUnavailable("the call was cut off", hint=_AWAY_HINT) from None
        finally:
            call.cancel()
    found = from_status(error)
    if not (isinstance(found, FleetRefused) and found.code == "unknown"):
        raise found from None


async def reach_enrollment(identity: Identity) -> None:
    """See that the server answers at its address for recoveries. Raises as `reach`."""
    trusted = grpc.ssl_channel_credentials(identity.authorities)
    async with channel(identity.enrollment_address, trusted) as opened:
        stub = fleet_pb2_grpc.EnrollmentStub(opened)
        await _answer(stub.Challenge, pb.ChallengeRequest(gateway=identity.gateway))


def credentials(identity: Identity) -> grpc.ChannelCredentials:
    """Give what this box shows on the port of gateways, and whom it trusts there."""
    return grpc.ssl_channel_credentials(identity.authorities, identity.key, identity.certificate)


@asynccontextmanager
async def channel(
    address: str, credentials: grpc.ChannelCredentials
) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel of its own to a server, and close it."""
    channel = grpc.aio.secure_channel(address, credentials, _OPTIONS)
    try:
        yield channel
    finally:
        await channel.close()


async def _answer(call: Callable[..., Awaitable[T]], request: object) -> T:
    try:
        return await strict(call, request, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        raise from_status(error) from None
    except StrayCancellation:
        raise FleetUnavailable("the call was cut off", hint=_AWAY_HINT) from None


def from_status(error: grpc.aio.AioRpcError) -> FleetError:
    """Give the error of a call that ended so. The trailers are those of fleet-protocol.md."""
    trailers = dict(error.trailing_metadata() or ())
    code, details = error.code(), (error.details() or "no details")[:500]
    hint = str(trailers.get("forebay-hint", ""))[:300]
    if code in _FINAL:
        word = str(trailers.get("forebay-code", code.name.lower()))[:32]
        return FleetRefused(details, hint=hint or "ask the fleet's operator", code=word)
    pushback = str(trailers.get("grpc-retry-pushback-ms", ""))[:9]
    wait_s = int(pushback) / 1000 if pushback.isdecimal() else None
    tls = any(word in details.lower() for word in ("handshake", "certificate", "ssl"))
    text = plain(code.name, details)
    return FleetUnavailable(text, hint=hint or (_TLS_HINT if tls else _AWAY_HINT), wait_s=wait_s)
