"""Who vouches for a model: an Ed25519 signature over `model.toml`, or a pin of its SHA-256.

The manifest holds the size and SHA-256 of every other file, so its own bytes stand for the whole
folder; they are signed as they are, behind a prefix of this purpose, and need no canonical form.
Ed25519: RFC 8032. Owns keys and signatures; must not know what a model computes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from forebay_plugin.models.errors import ModelMalformed, ModelUntrusted
from forebay_plugin.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = b"forebay-model-v1\0"
SIGNATURE_FILE = "model.sig"
SIGNATURE_BYTES_MAX = 4096
KEYS_MAX = 32


@dataclass(frozen=True)
class Trust:
    """Whom the settings of a plugin trust.

    Attributes:
        keys: public keys as base64 of their 32 bytes; one good signature is enough.
        pinned: SHA-256 of manifests that need no signature: how a plugin ships its own model.
        allow_unsigned: take a model that nobody vouches for. It is shown as such.
    """

    keys: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    allow_unsigned: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Trust:
        """Read `trusted_keys`, `pinned_models` and `allow_unsigned` of a plugin's settings.

        Raises:
            PluginError: one of them is of another type, or a key is no Ed25519 key.
        """
        unsigned = settings.get("allow_unsigned", False)
        if not isinstance(unsigned, bool):
            raise PluginError("settings.allow_unsigned must be true or false")
        keys, pinned = (_texts(settings, key) for key in ("trusted_keys", "pinned_models"))
        for key in keys:
            _public(key)
        return cls(keys, pinned, unsigned)

    def judge(self, manifest: bytes, signature: bytes | None) -> str:
        """Say why a manifest is taken: a short text for people.

        Args:
            manifest: the bytes of `model.toml`.
            signature: the bytes of `model.sig`: lines of base64, one a signature; None without.

        Raises:
            ModelUntrusted: it is not taken.
        """
        if hashlib.sha256(manifest).hexdigest() in self.pinned:
            return "pinned by the plugin's settings"
        for key in self.keys:
            if signature is not None and _verifies(key, manifest, signature):
                return f"signed by {fingerprint(key)}"
        if self.allow_unsigned:
            return "UNSIGNED, allowed by settings"
        if signature is None:
            raise ModelUntrusted("the model is not signed")
        raise ModelUntrusted(f"none of the {len(self.keys)} trusted keys has signed the model")


def sign(manifest: bytes, private_key_pem: bytes) -> bytes:
    """Give a line for `model.sig`.

    Raises:
        ModelUntrusted: the key is no Ed25519 key in PEM without a password.
    """
    try:
        key = load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise ModelUntrusted(
            f"no private key: {error}", "openssl genpkey -algorithm ed25519"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelUntrusted("not an Ed25519 key", "openssl genpkey -algorithm ed25519")
    return base64.b64encode(key.sign(PREFIX + manifest)) + b"\n"


def public_key(private_key_pem: bytes) -> str:
    """Give the public key for `trusted_keys` of a private key in PEM."""
    key = load_pem_private_key(private_key_pem, password=None)
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()  # type: ignore[union-attr]  # sign() has checked the kind


def fingerprint(key: str) -> str:
    """Give the first half of the SHA-256 of a public key, as people compare it."""
    return hashlib.sha256(base64.b64decode(key)).hexdigest()[:16]


def _verifies(key: str, manifest: bytes, signature: bytes) -> bool:
    if len(signature) > SIGNATURE_BYTES_MAX:
        raise ModelMalformed(f"{SIGNATURE_FILE} is over {SIGNATURE_BYTES_MAX} bytes")
    public = _public(key)
    for line in signature.split():
        try:
            public.verify(base64.b64decode(line, validate=True), PREFIX + manifest)
        except (InvalidSignature, binascii.Error, ValueError):
            continue
        return True
    return False


def _public(key: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        raise PluginError(
            f"settings.trusted_keys: {key[:8]}… is no Ed25519 public key; "
            "`python -m forebay_plugin.models sign` prints it"
        ) from None


def _texts(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = settings.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PluginError(f"settings.{key} must be a list of texts")
    if len(value) > KEYS_MAX:
        raise PluginError(f"settings.{key} has over {KEYS_MAX} entries")
    return tuple(value)
