"""The newest desired state of each gateway, and the contents it names.

Owns its tables and who may fetch what. Must not know gRPC, nor where files come from.
"""

from __future__ import annotations

import hashlib
import secrets
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import presence
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay_fleet.db.database import Database
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry

PART, VERSION = "desired", 1
KIND = "desired-state"
MAX_PACKAGES = 256
MAX_STATE_BYTES = 1 << 20
"""What a box takes; a larger one would end its stream, again and again."""


class Offer(NamedTuple):
    """Who offers a configuration, why, and until when it may begin (ns since 1970).

    `packages` are to be there before it begins, and an agent of at least `min_agent`.
    """

    issuer: str
    reason: str
    issued_ns: int
    expires_ns: int
    packages: tuple[fleet_pb2.Package, ...] = ()
    min_agent: str = ""


class Pushed(NamedTuple):
    """What came of a push. `hash` are 32 bytes."""

    version: int
    offer_id: str
    hash: bytes


def prepare(registry: Registry) -> None:
    """See that the tables are there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("tables.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)
    presence.prepare(registry)


def config_hash(contents: Mapping[str, bytes]) -> bytes:
    """Give the hash of a configuration: see ConfigFile in fleet.proto."""
    return _hash_of({path: hashlib.sha256(data).digest() for path, data in contents.items()})


def _hash_of(sums: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for path in sorted(sums, key=str.encode):
        digest.update(f"{path}\0{sums[path].hex()}\n".encode())
    return digest.digest()


def push(
    registry: Registry,
    signer: Signer,
    gateway: str,
    contents: Mapping[str, bytes],
    offer: Offer,
    also: Callable[[Database, Pushed], object] = lambda *_: None,
) -> Pushed:
    """Make `contents` what a gateway is to run, and do something `also` in the same transaction.

    Raises:
        UsageError: no such gateway is enrolled, it is revoked, or a box could not take it.
    """
    with registry.transaction() as db:
        pushed = put(db, signer, gateway, contents, offer)
        forget_unnamed(db)
        also(db, pushed)
    return pushed


def put(
    db: Database, signer: Signer, gateway: str, contents: Mapping[str, bytes], offer: Offer
) -> Pushed:
    """As `push`, within a transaction; sooner or later `forget_unnamed` is to follow.

    Nothing was done if it raises UsageError. No files: the box runs on what it runs, and begins
    with nothing that it was told before.
    """
    sums = {path: hashlib.sha256(data).digest() for path, data in contents.items()}
    hash_ = _hash_of(sums)
    shut = gateways.denied(db, gateway)
    if gateways.get(db, gateway) is None or (shut is not None and shut.state == "revoked"):
        raise UsageError(f"no gateway {gateway!r} is enrolled here", hint="forebay-fleet gateways")
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
            fleet_pb2.ConfigFile(path=path, sha256=sums[path], size_bytes=len(data))
            for path, data in sorted(contents.items(), key=lambda one: one[0].encode())
        ],
        packages=offer.packages,
        min_agent=offer.min_agent,
        issuer=offer.issuer,
        reason=offer.reason,
    )
    if len(offer.packages) > MAX_PACKAGES:
        raise UsageError(
            f"it asks for {len(offer.packages)} packages, and a box takes {MAX_PACKAGES}",
            hint="have it run fewer plugins and models",
        )
    payload = state.SerializeToString(deterministic=True)
    if len(payload) > MAX_STATE_BYTES:
        raise UsageError(
            f"the list of its {len(contents):,} files is larger than 1 MiB",
            hint="use fewer files, or shorter names",
        )
    signed = signer.sign(KIND, payload)
    db.execute(
        "INSERT INTO desired VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway) DO UPDATE SET"
        " version = excluded.version, offer_id = excluded.offer_id, hash = excluded.hash,"
        " issued_ns = excluded.issued_ns, expires_ns = excluded.expires_ns,"
        " signed = excluded.signed",
        (
            *(gateway, version, offer_id, hash_, offer.issued_ns, offer.expires_ns),
            signed.SerializeToString(),
        ),
    )
    db.execute("DELETE FROM named WHERE gateway = ?", (gateway,))
    for path, key in sums.items():
        # Many boxes have the same files: what is there does not go to the database again.
        if db.execute("SELECT 1 FROM contents WHERE sha256 = ?", (key,)).fetchone() is None:
            db.execute("INSERT INTO contents VALUES (?, ?)", (key, contents[path]))
        db.execute(
            "INSERT INTO named VALUES (?, ?) ON CONFLICT (gateway, sha256) DO NOTHING",
            (gateway, key),
        )
    return Pushed(version, offer_id, hash_)


def forget_unnamed(db: Database) -> None:
    """Forget the contents that no newest state names."""
    db.execute("DELETE FROM contents WHERE sha256 NOT IN (SELECT sha256 FROM named)")


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
        "SELECT length(data), substr(data, CAST(? AS INTEGER), CAST(? AS INTEGER))"
        " FROM contents JOIN named USING (sha256) WHERE gateway = ? AND sha256 = ?",
        (offset + 1, size, gateway, sha256),
    )
    return (found[0][0], bytes(found[0][1])) if found else None


def names_package(registry: Registry, gateway: str, sha256: bytes) -> bool:
    """Whether the newest state of a gateway names an artifact with this content."""
    found = newest(registry, gateway)
    if found is None:
        return False
    state = fleet_pb2.DesiredState.FromString(fleet_pb2.Signed.FromString(found[1]).payload)
    return any(one.sha256 == sha256 for one in state.packages)
