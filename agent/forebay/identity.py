"""What a box holds to be itself in its fleet: certificate, keys, authorities; and how that rests.

Owns STATE/fleet: `identity.json`, replaced as a whole by one rename, so that a power cut leaves one
generation or the other and never parts of both; and `pending.json`, the key of a certificate that
was asked for and is not there yet, durable before it is asked for. A box that loses the answer then
asks again with the same key, and the server knows it for the same box. Both files are 0600.

Must not know the network, nor when anything is renewed (`management.renewal`).
"""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from forebay.errors import IdentityUnusable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from forebay.files import Disk, DiskFile

FOLDER = "fleet"
IDENTITY, PENDING, LOCK = "identity.json", "pending.json", "lock"
MAX_FILE_BYTES = 1 << 20
VERSION = 1
NOT_ENROLLED = "this box is not enrolled yet"
ENROLL_HINT = "forebay fleet enroll --server HOST --token TOKEN; readings are journaled meanwhile"

_HINT = "enroll anew: on the server `forebay-fleet token create --gateway ID --replace`"


@dataclass(frozen=True, slots=True)
class Identity:
    """One generation of all that makes a box itself. Bytes are PEM unless said otherwise."""

    gateway: str
    instance_uid: bytes
    """16 random bytes, made at enrollment."""
    address: str
    """`Fleet` of the server, host:port."""
    enrollment_address: str
    """`Enrollment` of the server, host:port: for Recover."""
    generation: int
    """Counts this gateway's certificates."""
    certificate: bytes
    key: bytes
    """Of the certificate; EC P-256, PKCS #8."""
    authorities: bytes
    """All that may sign the server, one PEM after the other."""
    bound_key: bytes
    """Ed25519, PKCS #8; never expires; for Recover, and to sign data that is carried by hand."""
    signing_keys: tuple[bytes, ...] = ()
    """Ed25519 public keys, 32 bytes each: whose desired states and commands count."""
    root: bytes = b""
    """TUF root metadata to trust first; empty: the server has no artifacts."""
    sealing_key: bytes = b""
    """X25519 public key, 32 bytes: to whom data that is carried by hand is sealed; empty: none."""

    def valid(self) -> tuple[datetime, datetime]:
        """Give the two ends of the certificate's validity, UTC.

        Raises:
            IdentityUnusable: what is there is no certificate.
        """
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
        except ValueError as error:
            raise IdentityUnusable(f"the certificate is damaged: {error}", hint=_HINT) from None
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Pending:
    """A certificate that was, or is to be, asked for. `generation` is of the one in use, 0: none.

    An enrollment has the bound key and the instance that it will have; others have them empty.
    """

    gateway: str
    generation: int
    key: bytes
    csr: bytes
    """PKCS #10, DER."""
    bound_key: bytes = b""
    instance_uid: bytes = b""


_Kind = TypeVar("_Kind", Identity, Pending)


class IdentityStore:
    """The files of one box's identity. All calls block."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        """Touch nothing; `folder` is STATE/fleet."""
        self.folder, self._disk = folder, disk

    def current(self) -> Identity | None:
        """Give the identity in use, None if the box was never enrolled.

        Raises:
            IdentityUnusable: it is damaged, or not for us to read.
        """
        return self._read(IDENTITY, Identity)

    def pending(self) -> Pending | None:
        """Give what was asked for, None if nothing is. Raises as `current`."""
        return self._read(PENDING, Pending)

    def prepare(self, pending: Pending) -> None:
        """Note durably what is going to be asked for. Raises IdentityUnusable."""
        self._write(PENDING, pending)

    def replace(self, identity: Identity) -> None:
        """Make this the identity in use, durably, and forget what was pending.

        Raises:
            IdentityUnusable: the disk refused; the one before is still in use, or this one is.
        """
        self._write(IDENTITY, identity)
        self.drop_pending()

    def amend(self, identity: Identity) -> None:
        """Change what is said beside the certificate in use. Raises as `replace`; needs the lock.

        What was asked for stays: the server may have given it already, to that key and no other.
        """
        self._write(IDENTITY, identity)

    def drop_pending(self) -> None:
        """Forget what was asked for."""
        with contextlib.suppress(OSError):  # what stays is of an older generation, and passed over
            self._disk.unlink(self.folder / PENDING)
            self._disk.sync_dir(self.folder)

    def lock(self) -> DiskFile | None:
        """Take the right to change anything here until it is closed; None if another has it.

        Raises:
            IdentityUnusable: the folder cannot be made.
        """
        try:
            self._disk.makedirs(self.folder)
            return self._disk.lock(self.folder / LOCK)
        except OSError as error:
            raise _refused(error, self.folder) from error

    def _read(self, name: str, kind: type[_Kind]) -> _Kind | None:
        path = self.folder / name
        try:
            data = self._disk.read_bytes(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(error, path) from error
        try:
            return decode(data, kind)
        except (ValueError, KeyError, TypeError) as error:
            raise IdentityUnusable(f"{path} is damaged: {error}", hint=_HINT) from None

    def _write(self, name: str, what: Identity | Pending) -> None:
        path = self.folder / name
        temporary = path.with_name(name + ".new")
        try:
            self._disk.makedirs(self.folder)
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(temporary)
            file = self._disk.open(temporary, create=True, private=True)
            try:
                file.pwrite([encode(what)], 0)
                file.datasync()
            finally:
                file.close()
            self._disk.rename(temporary, path)
            self._disk.sync_dir(self.folder)
        except OSError as error:
            raise _refused(error, path) from error


def current(state: Path, disk: Disk) -> Identity | None:
    """Give the identity of the box whose state is in `state`: see `IdentityStore.current`."""
    return IdentityStore(state / FOLDER, disk).current()


def encode(what: Identity | Pending) -> bytes:
    """Give the content of a file: JSON with bytes in base64, and a hash against rot."""
    body = json.dumps(asdict(what), default=_text, sort_keys=True)
    return json.dumps({"version": VERSION, "sha256": _digest(body), "body": body}).encode()


def decode(data: bytes, kind: type[_Kind]) -> _Kind:
    """Read what `encode` gave. ValueError, KeyError or TypeError for anything else."""
    outer = json.loads(data)
    if outer["version"] != VERSION:
        raise ValueError(f"its version is {outer['version']}, and this agent knows {VERSION}")
    body: str = outer["body"]
    if _digest(body) != outer["sha256"]:
        raise ValueError("its checksum does not match")
    # What a newer agent wrote beside is passed over: this one may run again after it.
    told: dict[str, Any] = json.loads(body)
    fields = {name: value for name, value in told.items() if name in kind.__annotations__}
    for name, value in fields.items():
        form = kind.__annotations__[name]
        if form == "bytes":
            fields[name] = base64.b64decode(value)
        elif form.startswith("tuple"):
            fields[name] = tuple(base64.b64decode(one) for one in value)
    return kind(**fields)


def _digest(body: str) -> str:
    import hashlib

    return hashlib.sha256(body.encode()).hexdigest()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


def _refused(error: OSError, path: Path) -> IdentityUnusable:
    return IdentityUnusable(
        f"{path}: {error.strerror}",
        hint="it belongs to the agent's user: run this as that user or as root, and check the disk",
    )
