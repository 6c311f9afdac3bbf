"""What a box sends of itself, checked: PKCS #10 requests and Ed25519 signatures.

Owns which keys are taken and how a proof of the bound key is made. Pure. Must not know the
registry.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from forebay_fleet.identity.refused import Refused, invalid
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MAX_CSR_BYTES = 8192
BOUND_KEY_BYTES = 32
_CONTEXT = b"forebay recover v1\0"
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class Request(NamedTuple):
    """A request whose signature is good: `key` is the SHA-256 of its SubjectPublicKeyInfo."""

    public_key: ec.EllipticCurvePublicKey
    key: bytes


def spki_hash(key: PublicKeyTypes) -> bytes:
    """Give the SHA-256 of a public key's SubjectPublicKeyInfo (RFC 5280, section 4.1), DER."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).digest()


def read_request(csr: bytes, gateway: str) -> Request:
    """Read a PKCS #10 request (RFC 2986). Whatever extensions it asks for are passed over.

    Raises:
        Refused: it is too large or no request, its signature is wrong, its key is not of P-256 or
            P-384, or its common name is not `gateway`.
    """
    if not GATEWAY_PATTERN.fullmatch(gateway) or gateway in {"ca", "server"}:
        raise invalid("no valid gateway id")
    if not 0 < len(csr) <= MAX_CSR_BYTES:
        raise invalid(f"a request has 1 to {MAX_CSR_BYTES} bytes")
    try:
        request = x509.load_der_x509_csr(csr)
        names = [n.value for n in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        public_key = request.public_key()
        sound = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise invalid("the request for a certificate cannot be read") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, _CURVES
    ):
        raise invalid("the key must be of the curve P-256 or P-384")
    if not sound:
        raise invalid("the request is not signed with its key")
    if names != [gateway]:
        raise invalid("the request's common name is not the gateway's id")
    return Request(public_key, spki_hash(public_key))


def check_proof(bound_key: bytes, nonce: bytes, csr: bytes, generation: int, proof: bytes) -> None:
    """Check that the bound key signed this recovery: see `RecoverRequest.signature`.

    Raises:
        Refused: it did not.
    """
    message = (
        _CONTEXT
        + nonce
        + hashlib.sha256(csr).digest()
        + (generation % (1 << 64)).to_bytes(8, "big")
    )
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bound_key).verify(proof, message)
    except (InvalidSignature, ValueError):
        raise not_proved() from None


def not_proved() -> Refused:
    """Give the no to a recovery: the same for an unknown gateway and for a wrong proof."""
    return Refused(
        "proof",
        "UNAUTHENTICATED",
        "the recovery is not proved: unknown gateway, wrong key, or a nonce that is used or old",
        hint="enroll anew: on the server `forebay-fleet token create --gateway ID --replace`",
    )
