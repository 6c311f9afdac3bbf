"""Certificates for OPC UA tests, and how a server's owner comes to trust them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forebay.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path


def own_certificate(folder: Path, name: str = "gateway", days: int = 90) -> dict[str, Path]:
    """Make a key and a certificate as the README tells; it ends in `days`, maybe in the past."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.UniformResourceIdentifier("urn:press-hall-1:forebay"), x509.DNSName("hall")]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1000))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = {"certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
    files["certificate"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def trust(pki: Path) -> int:
    """Do what the owner of a node-opcua server does with rejected certificates; give how many."""
    rejected = list((pki / "rejected").glob("*"))
    for file in rejected:
        with suppress(FileNotFoundError):  # it may write anew what it has rejected
            file.rename(pki / "trusted/certs" / file.name)
    if not rejected:  # it may have looked at one that was half written, and looks at a change again
        for file in (pki / "trusted/certs").glob("*"):
            os.utime(file)
    return len(rejected)


async def eventually(attempt: Any, timeout_s: float = 60.0) -> None:
    """Try until it works: the server watches its folders at its own pace."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await attempt()
        except DeviceError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return
