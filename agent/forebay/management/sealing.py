"""Makes the file of data that is carried by hand: see DataHeader in carried.proto.

Owns its layout: sealed to the server's key, signed with the box's bound key. Pure. Must not know
what the data are, nor where the file goes.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from forebay import __version__
from forebay._proto import carried_pb2 as pb

if TYPE_CHECKING:
    from forebay.identity import Identity

MAGIC = b"FORBAYD1"
CONTEXT = b"forebay usb-data v1\0"
LENGTH_BYTES, COLLECTION_BYTES, KEY_BYTES = 4, 16, 32


class Sealer:
    """Makes one file: `begin`, then `frame` for each part, `frame` with `last`, then `end`.

    All block: a frame of 1 MiB takes about a millisecond.
    """

    def __init__(self, identity: Identity, uplink: str, collection: bytes, now_ns: int) -> None:
        """Make a key for this file alone. ValueError if the server's sealing key is none."""
        from cryptography.hazmat.primitives import hpke
        from cryptography.hazmat.primitives.asymmetric import x25519
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        key = os.urandom(KEY_BYTES)
        self._cipher, self._bound_key = ChaCha20Poly1305(key), identity.bound_key
        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
        names = identity.gateway.encode() + b"\0" + uplink.encode() + b"\0"
        server = x25519.X25519PublicKey.from_public_bytes(identity.sealing_key)
        header = pb.DataHeader(
            gateway=identity.gateway,
            uplink=uplink,
            collection=collection,
            collected_ns=now_ns,
            sealed_key=suite.encrypt(key, server, info=CONTEXT + names + collection),
            version=__version__,
        )
        self._header = header.SerializeToString()
        self._bound = hashlib.sha256(self._header).digest()
        self._digest = hashlib.sha256()
        self._number = 0

    def begin(self) -> bytes:
        """Give what a file begins with."""
        return self._counted(MAGIC + _part(self._header))

    def frame(self, data: bytes, *, last: bool = False) -> bytes:
        """Give the frame that holds `data`."""
        nonce = self._number.to_bytes(11, "big") + bytes([last])
        self._number += 1
        return self._counted(_part(self._cipher.encrypt(nonce, data, self._bound)))

    def end(self) -> bytes:
        """Give the signature of all that was given so far."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        key = serialization.load_pem_private_key(self._bound_key, None)
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        return _part(key.sign(CONTEXT + self._digest.digest()))

    def _counted(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(LENGTH_BYTES, "big") + data
