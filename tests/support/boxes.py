"""What a box asks a fleet server for, made by hand: keys, requests, proofs; an office to ask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from forebay_fleet import certificates
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.identity import authorities, tokens
from forebay_fleet.identity.challenge import Challenges
from forebay_fleet.identity.office import Office, Terms
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_800_000_000_000_000_000
PIN = bytes(32)


class Key(NamedTuple):
    """A key and the request that it signed."""

    private: ec.EllipticCurvePrivateKey
    csr: bytes


def new_key(gateway: str, curve: ec.EllipticCurve | None = None) -> Key:
    """Make a key and a request for `gateway`."""
    private = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return Key(private, csr)


@dataclass
class Bureau:
    """An office over a registry and an authority of its own, with a clock that stands still."""

    folder: Path
    now_ns: int = START_NS
    now_s: float = 1000.0
    registry: Registry = field(init=False)
    office: Office = field(init=False)
    challenges: Challenges = field(init=False)

    def __post_init__(self) -> None:
        self.pki = self.folder / "pki"
        certificates.init(self.pki, "test CA")
        self.registry = Registry(self.folder)
        self.challenges = Challenges(lambda: self.now_s)
        self.office = Office(
            partial(authorities.load, self.pki),
            Terms("fleet:7443"),
            self.challenges,
            lambda: self.now_ns,
        )

    def token(self, gateway: str | None = None, *, replace: bool = False) -> str:
        """Make a token that is good for an hour."""
        text, _ = tokens.create(
            self.registry, PIN, 3600.0, self.now_ns, gateway=gateway, replace=replace
        )
        return text


@dataclass
class HandBox:
    """A box that does what it is told to, and nothing by itself."""

    bureau: Bureau
    gateway: str = "gw-1"
    generation: int = 0
    bound: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def enroll(self, token: str, key: Key | None = None) -> fleet_pb2.Identity:
        """Ask with a token."""
        public = self.bound.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        request = fleet_pb2.EnrollRequest(
            token=token,
            gateway=self.gateway,
            csr=(key or new_key(self.gateway)).csr,
            bound_key=public,
        )
        return self._taken(self.bureau.office.enroll(self.bureau.registry, request))

    def renew(self, key: Key | None = None) -> fleet_pb2.Identity:
        """Ask with the certificate of its generation."""
        csr = (key or new_key(self.gateway)).csr
        request = fleet_pb2.RenewRequest(csr=csr, generation=self.generation)
        office, registry = self.bureau.office, self.bureau.registry
        return self._taken(office.renew(registry, self.gateway, self.generation, request))

    def recover(self, key: Key | None = None, nonce: bytes | None = None) -> fleet_pb2.Identity:
        """Ask with the bound key."""
        csr = (key or new_key(self.gateway)).csr
        nonce = nonce or self.bureau.challenges.give(self.gateway)
        message = b"forebay recover v1\0" + nonce + hashlib.sha256(csr).digest()
        request = fleet_pb2.RecoverRequest(
            gateway=self.gateway,
            nonce=nonce,
            csr=csr,
            generation=self.generation,
            signature=self.bound.sign(message + self.generation.to_bytes(8, "big")),
        )
        return self._taken(self.bureau.office.recover(self.bureau.registry, request))

    def copy(self) -> HandBox:
        """Give what a copied disk is."""
        return HandBox(self.bureau, self.gateway, self.generation, self.bound)

    def _taken(self, identity: fleet_pb2.Identity) -> fleet_pb2.Identity:
        self.generation = identity.generation
        return identity
