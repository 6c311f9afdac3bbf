"""Which server each box is connected to, where several have one registry.

A box that is cut off goes to another server at once, and its first server may say much later that
it left: only who has a box last says that it is gone. Of a server that is silent for SILENT_NS, all
boxes are offline. Owns its tables and DATA/server, the name of this server.
"""

from __future__ import annotations

import secrets
from importlib import resources
from typing import TYPE_CHECKING

from forebay_fleet.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry

PART, VERSION = "presence", 1
FILE = "server"
BEAT_NS = 10 * 10**9
"""How often a server says that it runs."""
SILENT_NS = 60 * 10**9
"""After this without a word a server is gone; clocks of servers may differ by less."""


def prepare(registry: Registry) -> None:
    """See that the tables are there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("presence.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)


def server_name(directory: Path) -> str:
    """Give the name of the server of a data directory, made once. Raises StoreFailed."""
    path = directory / FILE
    try:
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(secrets.token_hex(8), encoding="ascii")
        return path.read_text(encoding="ascii", errors="replace")[:64]
    except OSError as error:
        raise StoreFailed(f"{path} cannot be used: {error}", hint="check --data") from error


def note(db: Database, server: str, here: Iterable[str], gone: Iterable[str]) -> None:
    """Keep which boxes came to a server, and which left it; inside a transaction."""
    db.executemany(
        "INSERT INTO presence VALUES (?, ?) ON CONFLICT (gateway) DO UPDATE"
        " SET server = excluded.server WHERE presence.server <> excluded.server",
        [(gateway, server) for gateway in here],
    )
    db.executemany(
        "DELETE FROM presence WHERE gateway = ? AND server = ?",
        [(gateway, server) for gateway in gone],
    )


def begin(registry: Registry, server: str, now_ns: int) -> None:
    """Take all boxes of this server for offline, as at its start, and those that nobody has."""
    with registry.transaction() as db:
        _forget(db, server)
        db.execute(
            "UPDATE reports SET online = 0"
            " WHERE online = 1 AND gateway NOT IN (SELECT gateway FROM presence)"
        )
        _beat(db, server, now_ns)


def beat(registry: Registry, server: str, now_ns: int) -> list[str]:
    """Say that this server runs; give those that ran and are silent now, whose boxes are gone."""
    with registry.transaction() as db:
        _beat(db, server, now_ns)
        silent = [
            name
            for (name,) in db.execute(
                "SELECT name FROM servers WHERE seen_ns < ?", (now_ns - SILENT_NS,)
            ).fetchall()
        ]
        for name in silent:
            _forget(db, name)
            db.execute("DELETE FROM servers WHERE name = ?", (name,))
    return silent


def _beat(db: Database, server: str, now_ns: int) -> None:
    db.execute(
        "INSERT INTO servers VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET seen_ns = excluded.seen_ns",
        (server, now_ns),
    )


def _forget(db: Database, server: str) -> None:
    db.execute(
        "UPDATE reports SET online = 0"
        " WHERE gateway IN (SELECT gateway FROM presence WHERE server = ?)",
        (server,),
    )
    db.execute("DELETE FROM presence WHERE server = ?", (server,))
