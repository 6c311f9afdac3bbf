"""The director's key: DATA/signing.key, by which boxes know what they are told.

Owns the file and the signature's form (`Signed` in fleet.proto). Must not know what is signed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import StoreError, StoreFailed

if TYPE_CHECKING:
    from pathlib import Path

FILE = "signing.key"


class Signer:
    """Signs for one server."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        """Keep the key."""
        self._key = key
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = key.public_key().public_bytes(*raw)
        """32 bytes, as boxes are given it."""

    def sign(self, kind: str, payload: bytes) -> fleet_pb2.Signed:
        """Give `payload` signed: see fleet.proto."""
        signature = fleet_pb2.Signature(
            key_id=hashlib.sha256(self.public).digest()[:8],
            signature=self._key.sign(b"forebay " + kind.encode() + b" v1\0" + payload),
        )
        return fleet_pb2.Signed(kind=kind, payload=payload, signatures=[signature])


def load(data: Path) -> Signer:
    """Give the signer of a data directory; its key is made the first time, for its owner alone.

    Raises:
        StoreError: the file is no such key.
        StoreFailed: the disk refuses it.
    """
    path = data / FILE
    try:
        if not path.exists():
            _make(path)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise StoreFailed(
            f"{path}: {error.strerror}", hint="check its owner and the disk"
        ) from error
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise StoreError(f"{path} is no Ed25519 key", hint="restore it from a backup")
    return Signer(key)


def _make(path: Path) -> None:
    """Make the key whole before it has its name; who comes second leaves the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    temporary = path.with_name(f"{FILE}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
