"""Keys of the roles: those of people, in files that never lie on the server, and the server's own.

Owns their files. Ed25519, PKCS #8 PEM, encrypted by a passphrase if there is one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner, SSlibKey

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 << 10


def make(path: Path, passphrase: bytes | None) -> SSlibKey:
    """Make a key in `path`, for its owner alone, and its public part in `path`.pub.

    Raises UsageError if there is something already.
    """
    private = ed25519.Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(fd)
        path.with_name(path.name + ".pub").write_bytes(public)
    except OSError as error:
        hint = "give another path: a key is never written over"
        raise UsageError(f"{path}: {error.strerror}", hint=hint) from error
    return SSlibKey.from_crypto(private.public_key())


def public(path: Path) -> SSlibKey:
    """Give the public key in a PEM file. Raises UsageError."""
    hint = "give FILE.pub as `forebay-fleet artifacts key FILE` made it"
    try:
        found = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise UsageError(f"{path} is no public key", hint=hint) from error
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise UsageError(f"{path} is no Ed25519 key", hint=hint)
    return SSlibKey.from_crypto(found)


def signer(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """Give who signs by the private key in a PEM file. Raises UsageError."""
    try:
        key = serialization.load_pem_private_key(_read(path), passphrase)
    except (ValueError, TypeError) as error:
        hint = "is the passphrase right? FOREBAY_KEY_PASSPHRASE gives it without asking"
        raise UsageError(f"{path} cannot be used: {error}", hint=hint) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key", hint="make one: forebay-fleet artifacts key")
    return CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))


def pem(path: Path) -> bytes:
    """Give the public part of a private key without a passphrase, as PEM. Raises UsageError."""
    key = serialization.load_pem_private_key(_read(path), None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def encrypted(path: Path) -> bool:
    """Whether a private key asks for a passphrase. Raises UsageError."""
    return b"ENCRYPTED PRIVATE KEY" in _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="check the path") from error
