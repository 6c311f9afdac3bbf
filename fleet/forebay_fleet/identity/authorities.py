"""The authorities of a fleet: the one that signs, and those that are trusted beside it for a time.

Owns a directory of them and how one follows another:

    ca.crt, ca.key              signs gateways, and servers by `ca issue`
    next.crt, next.key          will sign: every box gets it first, beside ca.crt
    previous.crt, previous.key  signed before: what it signed is good until it expires

`rotate` makes the next one, `switch` puts it in place, `finish` ends the trust in the one before.
At no step does a box meet a server whose authority it was not given, if `switch` waits until all
have it. Must not know the registry.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forebay_fleet import certificates, keyfile
from forebay_fleet.errors import CertificateError
from forebay_fleet.identity.requests import spki_hash

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

NEXT, PREVIOUS = "next", "previous"
_BACKDATE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authorities:
    """What a directory holds: the one that signs, its key, and all that are trusted."""

    signer: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    trusted: tuple[x509.Certificate, ...]

    @property
    def names(self) -> str:
        """Give all that are trusted as the registry notes them: SPKI hashes, sorted, by spaces."""
        return " ".join(sorted(spki_hash(one.public_key()).hex() for one in self.trusted))

    def pem(self) -> bytes:
        """Give all that are trusted, one PEM after the other."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.trusted)

    def sign(
        self, key: ec.EllipticCurvePublicKey, gateway: str, generation: int, valid_s: float
    ) -> x509.Certificate:
        """Give a client certificate: CN is the gateway's id, serialNumber the generation.

        It begins a little earlier, for a box whose clock is slow: an hour, or a tenth of its time.
        """
        now, valid = dt.datetime.now(dt.UTC), dt.timedelta(seconds=valid_s)
        names = [(NameOID.COMMON_NAME, gateway), (NameOID.SERIAL_NUMBER, str(generation))]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(*name) for name in names]))
            .issuer_name(self.signer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - min(_BACKDATE, valid / 10))
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(certificates.usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )

    def issuer_of(self, leaf: x509.Certificate) -> x509.Certificate:
        """Give which of them signed `leaf`.

        Raises:
            CertificateError: none did.
        """
        for one in self.trusted:
            with contextlib.suppress(ValueError, TypeError, InvalidSignature):
                leaf.verify_directly_issued_by(one)
                return one
        raise CertificateError(
            "the server's certificate is of another authority",
            hint="issue one: forebay-fleet ca issue DIR --host NAME",
        )


def load(directory: Path) -> Authorities:
    """Read a directory of authorities.

    Raises:
        CertificateError: there are none, or they cannot be used.
    """
    signer, key = certificates.load_authority(directory)
    if signer.public_key() != key.public_key():
        raise CertificateError(
            f"{directory}/ca.key is not the key of ca.crt", hint="put the right pair back"
        )
    others = [_read(directory / f"{name}.crt") for name in (NEXT, PREVIOUS)]
    return Authorities(signer, key, (signer, *(one for one in others if one is not None)))


def rotate(directory: Path, common_name: str) -> x509.Certificate:
    """Make the next authority. CertificateError if there is one, or no present one."""
    load(directory)
    if all((directory / f"{NEXT}.{kind}").exists() for kind in ("crt", "key")):
        raise CertificateError(  # boxes may trust it already: nobody should delete it
            "the next authority is there already",
            hint="when all boxes have it: ca rotate DIR --data DATA --switch",
        )
    if (directory / f"{PREVIOUS}.crt").exists():
        raise CertificateError(
            "the authority before is still trusted", hint="end that first: ca rotate DIR --finish"
        )
    pair = certificates.init(directory, common_name, NEXT)
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def switch(directory: Path) -> None:
    """Have the next authority sign. Begun and cut off, it is taken up again.

    Raises:
        CertificateError: there is no next one, it is not whole, or the disk refuses.
    """
    pairs = [(directory / f"ca.{kind}", kind) for kind in ("crt", "key")]
    if not any((directory / f"{NEXT}.{kind}").exists() for _, kind in pairs):
        raise CertificateError("there is no next authority", hint="make it: ca rotate DIR")
    _check_next(directory)
    try:
        for present, kind in pairs:
            following = directory / f"{NEXT}.{kind}"
            if not following.exists():
                continue  # done before it was cut off
            before = directory / f"{PREVIOUS}.{kind}"
            if present.exists() and not before.exists():
                present.replace(before)
            following.replace(present)
        keyfile.sync_folder(directory)
    except OSError as error:
        raise CertificateError(f"cannot write: {error}", hint="run it again") from error


def _check_next(directory: Path) -> None:
    """Raise CertificateError unless what would be in place then is a pair."""
    found = {}
    for kind in ("crt", "key"):
        following, present = directory / f"{NEXT}.{kind}", directory / f"ca.{kind}"
        found[kind] = following if following.exists() else present
    try:
        certificate = x509.load_pem_x509_certificate(found["crt"].read_bytes())
        key = serialization.load_pem_private_key(found["key"].read_bytes(), None)
        whole = certificate.public_key() == key.public_key()
    except (OSError, ValueError, TypeError):
        whole = False
    if not whole:
        raise CertificateError(
            "the next authority is not whole: making it was cut off",
            hint=f"delete {NEXT}.crt and {NEXT}.key, and make it again: ca rotate DIR",
        )


def finish(directory: Path) -> None:
    """End the trust in the authority before, and delete its key. CertificateError without one."""
    try:
        (directory / f"{PREVIOUS}.crt").unlink()
        (directory / f"{PREVIOUS}.key").unlink(missing_ok=True)
    except FileNotFoundError:
        raise CertificateError(
            "there is no authority before", hint="see: ca rotate --help"
        ) from None
    except OSError as error:
        raise CertificateError(f"cannot delete: {error}", hint="run it again") from error


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path} cannot be read: {error}", hint="restore it") from error
