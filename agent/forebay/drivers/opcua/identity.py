"""Our own certificate and key, made once, and what people must know of any certificate.

Owns their files in the state directory, their content (OPC UA Part 6, 6.2.2) and fingerprints. Must
not know connections. Making a key takes a while: call it on a thread.
"""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.files import Disk

MAX_FILE_BYTES = 64 << 10
_KEY_BITS = 2048
"""Every policy from Basic256Sha256 on takes it (Part 7, 6.6), and small controllers are slow."""
_LIFE = timedelta(days=20 * 365)
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_THIS_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_SHOWN = 8
"""Certificates of one server that are kept for a person to look at."""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Where our own certificate and its key are; `made` says that they were not there before."""

    certificate: Path
    key: Path
    made: bool


class UnprotectedKeyError(Exception):
    """Others than its owner may read or write the key at `path`."""

    def __init__(self, path: Path) -> None:
        """Of the key at `path`."""
        super().__init__(f"{path} can be read or changed by other users of this machine")
        self.path = path

    @property
    def hint(self) -> str:
        """The next step for a person."""
        return (
            f"chmod 600 {self.path}; if somebody may have taken it, delete it and own.pem beside "
            "it: a start makes new ones"
        )


def is_private(path: Path) -> bool:
    """Whether the mode of the file at `path` lets nobody but its owner read or write it.

    So too if there is none: what lies on no disk of this machine is open to none of its users.
    """
    try:
        return not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except FileNotFoundError:
        return True


def own_files(folder: Path, host: str, now_ns: int, disk: Disk) -> OwnFiles | None:
    """Give the certificate in `folder` and its key, made if they are not there.

    None if another device is making them just now. Raises OSError, and UnprotectedKeyError as ssh
    would refuse such a key: whoever has it is this gateway to every server that trusts it.
    """
    certificate, key = folder / "own.pem", folder / "own.key"
    if disk.exists(certificate) and disk.exists(key):
        if not is_private(key):
            raise UnprotectedKeyError(key)
        return OwnFiles(certificate, key, made=False)
    disk.makedirs(folder)
    lock = disk.lock(folder / "own.lock")
    if lock is None:
        return None
    try:
        if disk.exists(certificate) and disk.exists(key):
            return OwnFiles(certificate, key, made=False)
        key_pem, certificate_pem = make(host, now_ns)
        _write_private(disk, key, key_pem)
        disk.write_atomic(certificate, certificate_pem)
    finally:
        lock.close()
    return OwnFiles(certificate, key, made=True)


def _write_private(disk: Disk, path: Path, data: bytes) -> None:
    """Put a file there whole, which nobody but its owner ever could read."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(temporary)
    file = disk.open(temporary, create=True, private=True)
    try:
        file.pwrite([data], 0)
        file.datasync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_dir(path.parent)


def make(host: str, now_ns: int) -> tuple[bytes, bytes]:
    """Make a key and a certificate for the application `urn:HOST:forebay`, both as PEM.

    It is valid from 2000 on: neither a gateway whose clock is still to be set nor a controller that
    has forgotten the time shall find it too new.
    """
    key = rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Forebay on {host}"[:64])])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:{quote(host)}:forebay")]
    with contextlib.suppress(ValueError):  # a host name that is none for DNS
        names.append(x509.DNSName(host))
    public = key.public_key()
    now = max(datetime.fromtimestamp(now_ns // 10**9, UTC), _THIS_YEAR)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key_pem, certificate.public_bytes(serialization.Encoding.PEM)


def _usage() -> x509.KeyUsage:
    """Give what Part 6, 6.2.2 asks of an application's certificate that signed itself.

    With keyCertSign, although it is no authority: some stacks trust no other.
    """
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def loaded(content: bytes) -> x509.Certificate:
    """Read a certificate, PEM or DER, the first if there are several. Raises ValueError."""
    try:
        if b"-----BEGIN" in content:
            certificate = x509.load_pem_x509_certificate(content)
        else:
            if content[:2] == b"\x30\x82":  # a chain in DER is one certificate behind the other
                content = content[: 4 + int.from_bytes(content[2:4], "big")]
            certificate = x509.load_der_x509_certificate(content)
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc  # parsed when asked
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
    return certificate


def misfit(certificate: x509.Certificate, key: bytes) -> str | None:
    """Say why `key` (PEM or DER) cannot prove that `certificate` is ours; None if it can."""
    load = (
        serialization.load_pem_private_key
        if b"-----BEGIN" in key
        else serialization.load_der_private_key
    )
    try:
        private = load(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "holds no private key without a password"
    if private.public_key() != certificate.public_key():
        return "is not the key of the certificate"
    return None


def application_uri(certificate: x509.Certificate) -> str | None:
    """Give the URI that the certificate is for: servers refuse any other (Part 6, 6.2.2)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        ValueError,
    ):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None


def fingerprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 of the certificate, as most tools show it: `AB:CD:...`."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def thumbprint(certificate: x509.Certificate) -> str:
    """Give the SHA-1 by which OPC UA names certificates (Part 6, 6.2.2) and tools list them."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name, no proof


def keep_shown(folder: Path, certificate: x509.Certificate, disk: Disk) -> Path | None:
    """Keep what a server showed, for a person to judge; nothing in `folder` is ever trusted.

    Named by its fingerprint, so that what was compared cannot be replaced by another. None if too
    many are there, or the disk refuses.
    """
    path = folder / f"{certificate.fingerprint(hashes.SHA256()).hex()[:16]}.der"
    try:
        disk.makedirs(folder)
        known = disk.listdir(folder)
        if path.name in known:
            return path
        if len(known) >= _MOST_SHOWN:
            return None
        disk.write_atomic(path, certificate.public_bytes(serialization.Encoding.DER))
    except OSError:
        return None
    return path
