"""Certificate files as gRPC wants them, read again when they change: no restart for a renewal.

Owns the files of the server's own certificate and of the authorities that gateways may be of. Must
not know what is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from forebay_fleet.errors import CertificateError
from forebay_fleet.identity import authorities

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: the server's certificate and key, and the CA whose gateways are let in.

    `authorities`, a directory as `identity.authorities` has it, goes before `client_ca`: then all
    that it trusts are let in, and the certificate goes out with the authority that signed it.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    authorities: Path | None = None

    def files(self) -> list[Path]:
        """Give all files that this is made of, those that may be missing among them."""
        folder = self.authorities
        names = ("ca", authorities.NEXT, authorities.PREVIOUS)
        bundle = [folder / f"{name}.crt" for name in names] if folder else []
        return [self.certificate, self.key, *([self.client_ca] if self.client_ca else []), *bundle]

    def state(self) -> list[tuple[int, int] | None]:
        """Give what tells one state of the files from another."""
        found: list[tuple[int, int] | None] = []
        for path in self.files():
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_ino))
        return found

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Give key, certificate chain and the authorities of gateways, PEM.

        Raises:
            CertificateError: files that cannot be read, or a certificate of another authority.
        """
        try:
            key, chain = self.key.read_bytes(), self.certificate.read_bytes()
            if self.authorities is None:
                assert self.client_ca is not None
                return key, chain, self.client_ca.read_bytes()
            leaf = x509.load_pem_x509_certificate(chain)
        except (OSError, ValueError) as error:
            hint = "make them with: forebay-fleet ca issue"
            raise CertificateError(str(error), hint=hint) from error
        found = authorities.load(self.authorities)
        issuer = found.issuer_of(leaf).public_bytes(serialization.Encoding.PEM)
        return key, chain if issuer in chain else chain.rstrip() + b"\n" + issuer, found.pem()


def server_credentials(files: Credentials, *, mutual: bool) -> grpc.ServerCredentials:
    """Give credentials that follow the files; `mutual` asks clients for a certificate.

    Raises:
        CertificateError: the files cannot be used now. Later ones that cannot are passed over.
    """
    seen = files.state()

    def configured() -> grpc.ServerCertificateConfiguration:
        key, chain, roots = files.read()
        return grpc.ssl_server_certificate_configuration([(key, chain)], roots if mutual else None)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC on its own thread, before each handshake; None: as before."""
        nonlocal seen
        now = files.state()
        if now == seen:
            return None
        seen = now
        try:
            return configured()
        except CertificateError as error:
            _log.warning("certificates_unusable", error=str(error), hint=error.hint)
            return None

    return grpc.dynamic_ssl_server_credentials(
        configured(),
        fetch,  # type: ignore[arg-type] # the stub forgets None
        require_client_authentication=mutual,
    )
