"""A small certificate authority: for the demo, for tests, and for a first fleet.

EC P-256 keys, X.509 v3 (RFC 5280). Owns key and certificate files. A gateway's id is the common
name of its certificate. Must not know who uses them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forebay_fleet import keyfile
from forebay_fleet.errors import CertificateError
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CA_NAME = "ca"
CA_DAYS = 3650
_BACKDATE = dt.timedelta(hours=1)
"""Certificates are valid from an hour ago, because a gateway's clock may be slow."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one certificate (PEM) and its private key (PKCS #8, PEM, mode 0600)."""

    certificate: Path
    key: Path


def init(directory: Path, common_name: str, file: str = CA_NAME) -> Pair:
    """Make a CA in `directory`: `ca.crt` and `ca.key`, or of another name than `ca`.

    Raises:
        CertificateError: there is one already, or the directory cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _save(directory, file, key, builder.sign(key, hashes.SHA256()))


def issue_server(
    ca: Path, out: Path, hosts: Sequence[str], days: int, *, peer: bool = False
) -> Pair:
    """Issue a server certificate for `hosts`, names or IP addresses: `server.crt`, `server.key`.

    `peer`: it may open connections to its like, too, as servers of a cluster do. A fleet's CA must
    not sign such: its clients are gateways.

    Raises:
        CertificateError: no host, a CA that cannot be read, files that are there already.
    """
    if not hosts:
        raise CertificateError("a server certificate needs a host", hint="add --host NAME-OR-IP")
    alternatives = [_alternative(host) for host in hosts]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH][: 1 + peer]
    return _issue(ca, out, ("server", hosts[0]), (alternatives, purposes), days)


def issue_gateway(ca: Path, out: Path, gateway: str, days: int) -> Pair:
    """Issue a client certificate with the common name `gateway`: `GATEWAY.crt`, `GATEWAY.key`.

    Raises:
        CertificateError: not a gateway id, a CA that cannot be read, files that are there already.
    """
    if not GATEWAY_PATTERN.fullmatch(gateway) or gateway in {CA_NAME, "server"}:
        raise CertificateError(
            f"{gateway!r} cannot be a gateway id",
            hint="use up to 64 letters, digits, dots, dashes and underscores, not 'ca' or 'server'",
        )
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issue(ca, out, (gateway, gateway), ([], purposes), days)


def _issue(
    ca: Path,
    out: Path,
    names: tuple[str, str],
    what: tuple[list[x509.GeneralName], list[x509.ObjectIdentifier]],
    days: int,
) -> Pair:
    """Sign; `names` are the file's and the common name, `what` other names and the purposes."""
    alternatives, purposes = what
    authority, signer = load_authority(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(names[1]), authority.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _save(out, names[0], key, builder.sign(signer, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Give what a key may do (RFC 5280, section 4.2.1.3): sign certificates, or handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise CertificateError(
            f"{host!r} is no host name", hint="write international names in their xn-- form"
        ) from None


def load_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Read `ca.crt` and `ca.key`. CertificateError if they are not there, or no such files."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(
            f"no CA in {directory}: {error}", hint=f"forebay-fleet ca init {directory}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the CA's key is not of an elliptic curve", hint="make a new CA")
    return certificate, key


def _save(
    directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> Pair:
    """Write both files, never over existing ones; nobody else can read the key at any moment."""
    pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content, mode in ((pair.key, secret, 0o600), (pair.certificate, public, 0o644)):
            keyfile.create(path, content, mode)
    except FileExistsError as error:
        raise CertificateError(
            f"{error.filename} is there already", hint="delete it, or choose another directory"
        ) from None
    except OSError as error:
        raise CertificateError(f"cannot write: {error}", hint="choose another directory") from error
    return pair
