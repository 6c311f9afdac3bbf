"""Certificates that no command of ours would make."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def odd_certificate(authority: Pair, name: str) -> tuple[bytes, bytes]:
    """Give key and certificate, PEM, of whom `authority` calls `name`; none at all if empty."""
    issuer, signer = authority
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) if name else None
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([attribute] if attribute is not None else []))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def resigned(authority: Pair, certificate: bytes, begin: dt.datetime) -> bytes:
    """Give a certificate, PEM, of the same subject and key that is valid for 30 days from then."""
    issuer, signer = authority
    before = x509.load_pem_x509_certificate(certificate)
    made = (
        x509.CertificateBuilder()
        .subject_name(before.subject)
        .issuer_name(issuer.subject)
        .public_key(before.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=30))
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
