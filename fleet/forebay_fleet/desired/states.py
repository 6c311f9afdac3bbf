"""The newest desired state of each gateway, and the contents it names.

Owns its tables and who may fetch what. Must not know gRPC, nor where files come from.
"""

from __future__ import annotations

import hashlib
import secrets
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry

PART, VERSION = "desired", 1
KIND = "desired-state"


class Offer(NamedTuple):
    """Who offers a configuration, why, and until when it may begin (ns since 1970)."""

    issuer: str
    reason: str
    issued_ns: int
    expires_ns: int


class Pushed(NamedTuple):
    """What came of a push. `hash` are 32 bytes."""

    version: int
    offer_id: str
    hash: bytes


def prepare(registry: Registry) -> None:
    """See that the tables are there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("tables.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)


def config_hash(contents: Mapping[str, bytes]) -> bytes:
    """Give the hash of a configuration: see ConfigFile in fleet.proto."""
    digest = hashlib.sha256()
    for path in sorted(contents, key=str.encode):
        digest.update(f"{path}\0{hashlib.sha256(contents[path]).hexdigest()}\n".encode())
    return digest.digest()


def push(
    registry: Registry, signer: Signer, gateway: str, contents: Mapping[str, bytes], offer: Offer
) -> Pushed:
    """Make `contents` what a gateway is to run.

    Raises:
        UsageError: no such gateway is enrolled, or it is revoked.
    """
    hash_ = config_hash(contents)
    with registry.transaction() as db:
        shut = gateways.denied(db, gateway)
        if gateways.get(db, gateway) is None or (shut is not None and shut.state == "revoked"):
            raise UsageError(
                f"no gateway {gateway!r} is enrolled here", hint="forebay-fleet gateways"
            )
        sql = "SELECT version FROM desired WHERE gateway = ?"
        before = db.execute(sql, (gateway,)).fetchone()
        # Not below the seconds since 1970, so that a server restored from a backup goes on upwards.
        version = max(before[0] + 1 if before else 1, offer.issued_ns // 10**9)
        offer_id = secrets.token_hex(8)
        state = fleet_pb2.DesiredState(
            gateway=gateway,
            version=version,
            offer_id=offer_id,
            issued_ns=offer.issued_ns,
            expires_ns=offer.expires_ns,
            config_hash=hash_,
            files=[
                fleet_pb2.ConfigFile(
                    path=path, sha256=hashlib.sha256(data).digest(), size_bytes=len(data)
                )
                for path, data in sorted(contents.items(), key=lambda one: one[0].encode())
            ],
            issuer=offer.issuer,
            reason=offer.reason,
        )
        signed = signer.sign(KIND, state.SerializeToString(deterministic=True))
        db.execute(
            "INSERT OR REPLACE INTO desired VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(gateway, version, offer_id, hash_, offer.issued_ns, offer.expires_ns),
                signed.SerializeToString(),
            ),
        )
        db.execute("DELETE FROM named WHERE gateway = ?", (gateway,))
        for data in contents.values():
            key = hashlib.sha256(data).digest()
            db.execute("INSERT OR IGNORE INTO contents VALUES (?, ?)", (key, data))
            db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (gateway, key))
        db.execute("DELETE FROM contents WHERE sha256 NOT IN (SELECT sha256 FROM named)")
    return Pushed(version, offer_id, hash_)


def newest(registry: Registry, gateway: str) -> tuple[int, bytes] | None:
    """Give the version and the Signed of a gateway's newest state."""
    found = registry.rows("SELECT version, signed FROM desired WHERE gateway = ?", (gateway,))
    return found[0] if found else None


def versions(registry: Registry) -> dict[str, int]:
    """Give the newest version of each gateway that has one."""
    return dict(registry.rows("SELECT gateway, version FROM desired"))


def part(
    registry: Registry, gateway: str, sha256: bytes, offset: int, size: int
) -> tuple[int, bytes] | None:
    """Give the whole size and at most `size` bytes from `offset` of a content.

    None if the newest state of `gateway` does not name it.
    """
    found = registry.rows(
        "SELECT length(data), substr(data, ?, ?) FROM contents JOIN named USING (sha256)"
        " WHERE gateway = ? AND sha256 = ?",
        (offset + 1, size, gateway, sha256),
    )
    return (found[0][0], bytes(found[0][1])) if found else None
