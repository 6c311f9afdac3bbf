"""The director's key: DATA/signing.key, by which boxes know what they are told.

Owns the file and the signature's form (`Signed` in fleet.proto). Must not know what is signed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay_fleet import keyfile
from forebay_fleet._proto import fleet_pb2

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
    return Signer(keyfile.load(data / FILE, ed25519.Ed25519PrivateKey.generate))
