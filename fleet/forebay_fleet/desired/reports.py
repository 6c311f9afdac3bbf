"""What each box said last of itself.

Owns its table. Must not know gRPC, nor what a person is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry


class Report(NamedTuple):
    """See tables.sql; `health` and `config` are messages of fleet.proto, serialized."""

    gateway: str
    online: int
    seen_ns: int
    version: str
    health: bytes
    config: bytes


def forget_online(registry: Registry) -> None:
    """Take every box for offline, as at a server's start."""
    with registry.transaction() as db:
        db.execute("UPDATE reports SET online = 0")


def note(registry: Registry, report: Report) -> None:
    """Keep what a box said; an empty part leaves what was said before."""
    with registry.transaction() as db:
        db.execute(
            "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " online = excluded.online, seen_ns = excluded.seen_ns,"
            " version = CASE excluded.version WHEN '' THEN version ELSE excluded.version END,"
            " health = CASE excluded.health WHEN x'' THEN health ELSE excluded.health END,"
            " config = CASE excluded.config WHEN x'' THEN config ELSE excluded.config END",
            report,
        )


def every(registry: Registry) -> dict[str, Report]:
    """Give the last report of each gateway that ever came."""
    return {row[0]: Report(*row) for row in registry.rows("SELECT * FROM reports")}
