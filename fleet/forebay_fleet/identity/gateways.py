"""The tables of boxes and of those that may not come: see registry.sql.

Owns their statements. Must not know who decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.errors import UsageError
from forebay_fleet.identity.refused import locked, revoked
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.db.database import Database
    from forebay_fleet.identity.refused import Refused
    from forebay_fleet.registry import Registry


class GatewayRow(NamedTuple):
    """An enrolled box: see registry.sql."""

    name: str
    bound_key: bytes
    generation: int
    floor: int
    key: bytes
    certificate: bytes
    expires_ns: int
    trusts: str
    recoveries: int
    enrolled_ns: int
    renewed_ns: int


class Denied(NamedTuple):
    """A gateway that may not come. `state` is `locked` or `revoked`."""

    name: str
    state: str
    reason: str
    since_ns: int

    def refusal(self) -> Refused:
        """Give the no that it gets."""
        return (locked if self.state == "locked" else revoked)(self.name, self.reason)


_COLUMNS = ", ".join(GatewayRow._fields)


def get(db: Database, name: str) -> GatewayRow | None:
    """Give a box, None if it was never enrolled."""
    row = db.execute(f"SELECT {_COLUMNS} FROM gateways WHERE name = ?", (name,)).fetchone()  # noqa: S608 - constants
    return None if row is None else GatewayRow(*row)


def put(db: Database, row: GatewayRow) -> None:
    """Write a box, new or known."""
    marks = ", ".join("?" for _ in row)
    rest = ", ".join(f"{name} = excluded.{name}" for name in row._fields[1:])
    db.execute(
        f"INSERT INTO gateways ({_COLUMNS}) VALUES ({marks})"  # noqa: S608 - constants
        f" ON CONFLICT (name) DO UPDATE SET {rest}",
        row,
    )


def denied(db: Database, name: str) -> Denied | None:
    """Give why a gateway may not come, None if it may."""
    row = db.execute("SELECT * FROM denied WHERE name = ?", (name,)).fetchone()
    return None if row is None else Denied(*row)


def deny(db: Database, row: Denied) -> None:
    """Shut a gateway out; one that is revoked stays so."""
    db.execute(
        "INSERT INTO denied VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " state = excluded.state, reason = excluded.reason, since_ns = excluded.since_ns"
        " WHERE denied.state != 'revoked'",
        row,
    )


def allow(db: Database, name: str) -> bool:
    """Let a gateway come again; whether it was shut out."""
    sql = "DELETE FROM denied WHERE name = ? RETURNING name"
    return db.execute(sql, (name,)).fetchone() is not None


def all_enrolled(registry: Registry) -> list[GatewayRow]:
    """Give all boxes by name."""
    sql = f"SELECT {_COLUMNS} FROM gateways ORDER BY name"  # noqa: S608 - constants
    return [GatewayRow(*row) for row in registry.rows(sql)]


def all_denied(registry: Registry) -> dict[str, Denied]:
    """Give all that may not come, by name."""
    rows = registry.rows("SELECT * FROM denied ORDER BY name")
    return {row[0]: Denied(*row) for row in rows}


def revoke(
    registry: Registry,
    name: str,
    reason: str,
    now_ns: int,
    also: Callable[[Database], object] = lambda _: None,
) -> None:
    """Shut a gateway out for good, enrolled or not. UsageError for what can be no id.

    Something is done `also` in the same transaction.
    """
    if not GATEWAY_PATTERN.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a gateway id", hint="forebay-fleet gateways")
    with registry.transaction() as db:
        deny(db, Denied(name, "revoked", reason, now_ns))
        also(db)


def unlock(
    registry: Registry, name: str, also: Callable[[Database], object] = lambda _: None
) -> Denied:
    """Let a gateway come again that was locked or revoked; give what it was.

    Something is done `also` in the same transaction.

    Raises:
        UsageError: it is neither.
    """
    with registry.transaction() as db:
        found = denied(db, name)
        if found is None or not allow(db, name):
            raise UsageError(
                f"{name!r} is neither locked nor revoked", hint="forebay-fleet gateways"
            )
        also(db)
        return found
