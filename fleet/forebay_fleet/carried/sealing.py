"""Files of data that boxes have sealed: see DataHeader in carried.proto.

Owns the server's key, DATA/sealing.key, and the layout of the file. Nothing of a file is given
before all of it was proved to be what its box signed. Must not know what the data are.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from google.protobuf.message import DecodeError

from forebay_fleet import keyfile
from forebay_fleet._proto import carried_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

FILE = "sealing.key"
MAGIC = b"FORBAYD1"
CONTEXT = b"forebay usb-data v1\0"
LENGTH_BYTES, SIGNATURE_BYTES, COLLECTION_BYTES, KEY_BYTES = 4, 64, 16, 32
MAX_HEADER_BYTES = 4096
MAX_FRAME_BYTES = 36 << 20
"""A record of the largest size, and a group before it, in one message."""
MAX_UPLINK_CHARACTERS = 80
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_CHUNK_BYTES = 1 << 20


class Damaged(UsageError):
    """A file that is not, or not any more, what a box of this fleet made."""

    def __init__(self, message: str) -> None:
        """Say what is wrong; there is one next step."""
        super().__init__(message, hint="carry it again, or collect anew: the box still has it")


class Sealed(NamedTuple):
    """What a file says of itself. Frames are from byte `frames_at` to `ends_at`."""

    header: carried_pb2.DataHeader
    raw_header: bytes
    frames_at: int
    ends_at: int


class Unsealer:
    """Opens what was sealed to one server."""

    def __init__(self, key: x25519.X25519PrivateKey) -> None:
        """Keep the key."""
        self._key = key
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = key.public_key().public_bytes(*raw)
        """32 bytes, as boxes are given it."""

    def frames(self, file: BinaryIO, sealed: Sealed) -> Iterator[tuple[bytes, bool]]:
        """Give the content of each frame in order, and whether it is the last.

        Raises Damaged, and UsageError if it was sealed for another server.
        """
        cipher = ChaCha20Poly1305(self._unwrapped(sealed.header))
        bound = hashlib.sha256(sealed.raw_header).digest()
        file.seek(sealed.frames_at)
        number = 0
        while (at := file.tell()) < sealed.ends_at:
            data = _part(file, MAX_FRAME_BYTES)
            last = at + LENGTH_BYTES + len(data) == sealed.ends_at
            nonce = number.to_bytes(11, "big") + bytes([last])
            try:
                yield cipher.decrypt(nonce, data, bound), last
            except InvalidTag:
                raise Damaged(f"frame {number} is not what the box sealed") from None
            number += 1

    def _unwrapped(self, header: carried_pb2.DataHeader) -> bytes:
        try:
            key = SUITE.decrypt(header.sealed_key, self._key, info=info(header))
        except (InvalidTag, ValueError):
            raise UsageError(
                "it was sealed for another server",
                hint="carry it to the server that its box is enrolled at",
            ) from None
        if len(key) != KEY_BYTES:
            raise Damaged("its key is no key")
        return key


def load(data: Path) -> Unsealer:
    """Give the unsealer of a data directory; its key is made the first time, for its owner alone.

    Raises as `keyfile.load`.
    """
    return Unsealer(keyfile.load(data / FILE, x25519.X25519PrivateKey.generate))


def info(header: carried_pb2.DataHeader) -> bytes:
    """Give what the file's key is sealed for."""
    parts = CONTEXT, header.gateway.encode(), b"\0", header.uplink.encode(), b"\0"
    return b"".join(parts) + header.collection


def opened(file: BinaryIO) -> Sealed:
    """Read what a file says of itself; nothing of it is proved yet. Raises Damaged."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise Damaged("it is no file of data that a box collected")
    raw = _part(file, MAX_HEADER_BYTES)
    return Sealed(_header(raw), raw, file.tell(), size - SIGNATURE_BYTES - LENGTH_BYTES)


def check(file: BinaryIO, sealed: Sealed, bound_key: bytes) -> None:
    """Read a whole file, and see that the box with this bound key (32 bytes) signed it.

    Raises Damaged.
    """
    file.seek(0)
    digest = hashlib.sha256()
    while (left := sealed.ends_at - file.tell()) > 0:
        chunk = file.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise Damaged("it changed while it was read")
        digest.update(chunk)
    signature = _part(file, SIGNATURE_BYTES) if sealed.frames_at < sealed.ends_at else b""
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(bound_key)
        public.verify(signature, CONTEXT + digest.digest())
    except (InvalidSignature, ValueError):
        name = sealed.header.gateway
        raise Damaged(
            f"{name} has not signed it: it was changed, cut off, or made by another box"
        ) from None


def _header(raw: bytes) -> carried_pb2.DataHeader:
    try:
        header = carried_pb2.DataHeader.FromString(raw)
    except DecodeError:
        raise Damaged("its header cannot be read") from None
    if not GATEWAY_PATTERN.fullmatch(header.gateway) or (
        len(header.collection) != COLLECTION_BYTES
        or not 0 < len(header.uplink) <= MAX_UPLINK_CHARACTERS
    ):
        raise Damaged("its header says nothing of a box")
    return header


def _part(file: BinaryIO, most: int) -> bytes:
    """Read one part behind its length. Raises Damaged."""
    size = int.from_bytes(file.read(LENGTH_BYTES), "big")
    if size > most:
        raise Damaged("a part is larger than any can be")
    data = file.read(size)
    if len(data) != size:
        raise Damaged("it ends in the middle")
    return data
