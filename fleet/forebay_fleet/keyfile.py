"""A private key in a file of the data directory, made the first time it is asked for.

Owns how such a file, and a certificate, comes to be: whole and durable before it has its name. Must
not know what a key is for.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from forebay_fleet.errors import StoreError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Key = TypeVar("Key", ed25519.Ed25519PrivateKey, x25519.X25519PrivateKey)


def load(path: Path, generate: Callable[[], Key]) -> Key:
    """Give the key in `path` (PKCS #8, PEM), one that `generate` makes if there is no such file.

    Raises:
        StoreError: the file is no such key.
        StoreFailed: the disk refuses it.
    """
    fresh = generate()
    try:
        if not path.exists():
            _make(path, fresh)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise StoreFailed(
            f"{path}: {error.strerror}", hint="check its owner and the disk"
        ) from error
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, type(fresh)):
        name = type(fresh).__name__.removesuffix("PrivateKey")
        raise StoreError(f"{path} is no {name} key", hint="restore it from a backup")
    return key


def _make(path: Path, key: ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey) -> None:
    """Make the key whole before it has its name; who comes second leaves the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with contextlib.suppress(FileExistsError):
        create(path, pem, 0o600)


def create(path: Path, content: bytes, mode: int) -> None:
    """Make a file that has all of `content` as soon as it has its name, durable on return.

    Raises OSError; FileExistsError if the name is taken.
    """
    # A name by chance: what a power cut left is in nobody's way.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise FileExistsError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
