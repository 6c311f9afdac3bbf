"""The way by which each gateway is to come: the newest offer of one, and what became of it.

Owns its table. Must not know gRPC, nor how a box tries a way.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay_fleet.db.database import Database
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry, RegistryThread

PART, VERSION = "connections", 1
KIND = "connection"
MAX_ERROR = 500
MAX_AUTHORITIES = 8


class Way(NamedTuple):
    """Where a gateway is to come: `Fleet` and `Enrollment`, HOST:PORT; "" leaves what it has.

    `authorities` (X.509, DER) are all that it trusts from then on; none leaves those that it has.
    """

    address: str
    enrollment: str = ""
    authorities: Sequence[bytes] = ()


class Moved(NamedTuple):
    """The newest offer to a gateway. `ended_ns` is 0 until the box has said what became of it."""

    version: int
    offer_id: str
    address: str
    expires_ns: int
    ended_ns: int
    error: str


def prepare(registry: Registry) -> None:
    """See that the table is there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("connections.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)


def offer(
    registry: Registry,
    signer: Signer,
    gateway: str,
    way: Way,
    times_ns: tuple[int, int],
    also: Callable[[Database], object] = lambda _: None,
) -> Moved:
    """Have a gateway try another way; `times_ns` are when that is offered, and its end.

    Something is done `also` in the same transaction.

    Raises:
        UsageError: no such gateway is enrolled, it is revoked, or the way cannot be.
    """
    for address in (way.address, way.enrollment):
        if address and not _is_address(address):
            raise UsageError(f"{address!r} is no address", hint="write fleet.example.org:7443")
    if len(way.authorities) > MAX_AUTHORITIES:
        raise UsageError(
            f"{len(way.authorities)} authorities are too many", hint=f"{MAX_AUTHORITIES} at most"
        )
    issued_ns, expires_ns = times_ns
    with registry.transaction() as db:
        shut = gateways.denied(db, gateway)
        if gateways.get(db, gateway) is None or (shut is not None and shut.state == "revoked"):
            raise UsageError(
                f"no gateway {gateway!r} is enrolled here", hint="forebay-fleet gateways"
            )
        sql = "SELECT version FROM connections WHERE gateway = ?"
        before = db.execute(sql, (gateway,)).fetchone()
        # Not below the seconds since 1970, so that a server restored from a backup goes on upwards.
        version = max(before[0] + 1 if before else 1, issued_ns // 10**9)
        settings = fleet_pb2.ConnectionSettings(
            gateway=gateway,
            offer_id=secrets.token_hex(8),
            address=way.address,
            enrollment_address=way.enrollment,
            authorities=way.authorities,
            version=version,
            expires_ns=expires_ns,
        )
        signed = signer.sign(KIND, settings.SerializeToString(deterministic=True))
        db.execute(
            "INSERT INTO connections VALUES (?, ?, ?, ?, ?, ?, NULL, '')"
            " ON CONFLICT (gateway) DO UPDATE SET version = excluded.version,"
            " offer_id = excluded.offer_id, address = excluded.address,"
            " expires_ns = excluded.expires_ns, signed = excluded.signed, ended_ns = NULL,"
            " error = ''",
            (
                *(gateway, version, settings.offer_id, way.address, expires_ns),
                signed.SerializeToString(),
            ),
        )
        also(db)
    return Moved(version, settings.offer_id, way.address, expires_ns, 0, "")


def note(registry: Registry, gateway: str, status: fleet_pb2.ConnectionStatus) -> None:
    """Keep what a box says became of an offer, if it is the newest that it has."""
    error = "" if status.applied else status.error[:MAX_ERROR] or "the box does not say why"
    with registry.transaction() as db:
        db.execute(
            "UPDATE connections SET ended_ns = ?, error = ? WHERE gateway = ? AND offer_id = ?",
            (time.time_ns(), error, gateway, status.offer_id),
        )


def waiting(registry: Registry, now_ns: int) -> dict[str, int]:
    """Give the version of each offer that is open: its box has not said what became of it."""
    sql = "SELECT gateway, version FROM connections WHERE ended_ns IS NULL AND expires_ns > ?"
    return dict(registry.rows(sql, (now_ns,)))


def open_offer(registry: Registry, gateway: str, now_ns: int) -> tuple[int, bytes] | None:
    """Give the version and the Signed of an offer that is open."""
    found = registry.rows(
        "SELECT version, signed FROM connections"
        " WHERE gateway = ? AND ended_ns IS NULL AND expires_ns > ?",
        (gateway, now_ns),
    )
    return found[0] if found else None


def newest(registry: Registry, gateway: str) -> Moved | None:
    """Give the newest offer to a gateway, None if there never was one."""
    found = registry.rows(
        "SELECT version, offer_id, address, expires_ns, coalesce(ended_ns, 0), error"
        " FROM connections WHERE gateway = ?",
        (gateway,),
    )
    return Moved(*found[0]) if found else None


class Moving:
    """The offer to one gateway on one stream: a `parts.Part`."""

    def __init__(self, registry: RegistryThread, gateway: str) -> None:
        """Have said nothing yet."""
        self._registry, self._gateway = registry, gateway
        self._sent = 0

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """See `Part.take`."""
        if message.HasField("connection") and message.connection.offer_id:
            await self._registry(partial(note, gateway=self._gateway, status=message.connection))

    async def answer(self, answer: fleet_pb2.ServerToAgent) -> bool:
        """See `Part.answer`: once a stream."""
        found = await self._registry(
            partial(open_offer, gateway=self._gateway, now_ns=time.time_ns())
        )
        if found is not None and found[0] > self._sent:
            self._sent = found[0]
            answer.connection.ParseFromString(found[1])
        return False


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    sound = 0 < len(plain) < 254 and plain.isascii() and not set(plain) & set(" /@[],%")
    sound = sound and (":" not in plain or plain is not host)
    return sound and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536
