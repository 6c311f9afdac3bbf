"""Records that were acknowledged and have no place: kept with all their bytes.

Owns that table, which only PostgreSQL has: where a box is acknowledged by the store itself, it
keeps such a record. Must not know what makes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from forebay_fleet._proto import uplink_pb2
    from forebay_fleet.db.database import Database

MOST = 10_000
"""Records of one gateway that are kept; of more only the alarm stays."""


class AsideRow(NamedTuple):
    """A record that is kept aside: whose it is, where it said to be, why it is not there.

    `size` is that of the record's bytes, `at_ns` when it came, ns since 1970 UTC.
    """

    gateway: str
    stream: int
    epoch: int
    seq: int
    hash: bytes
    code: str
    at_ns: int
    size: int


class Kept:
    """Reads the table; `db` None: a store that has none, as each box keeps such records itself."""

    def __init__(self, db: Database | None) -> None:
        """Use the connection; its owner closes it."""
        self._db = db

    def listed(self, gateway: str | None = None, limit: int = MOST) -> list[AsideRow]:
        """Give the newest `limit` of them, of one gateway or all, the newest last."""
        if self._db is None:
            return []
        rows = self._db.execute(
            "SELECT name, stream, epoch, seq, hash, code, at_ns, length(record)"
            " FROM aside a JOIN gateways g ON g.id = a.gateway"
            " WHERE name = ?1 OR ?1 IS NULL ORDER BY at_ns DESC, a.id DESC LIMIT ?2",
            (gateway, limit),
        )
        return [AsideRow(*row) for row in rows][::-1]

    def counts(self) -> dict[str, int]:
        """Give how many each gateway has that has any."""
        if self._db is None:
            return {}
        rows = self._db.execute(
            "SELECT name, count(*) FROM aside a JOIN gateways g ON g.id = a.gateway GROUP BY name"
        )
        return {str(name): int(number) for name, number in rows}


class Aside:
    """Works on the writer's connection, inside its transactions."""

    def __init__(self, db: Database) -> None:
        """Use the connection; its owner closes it."""
        self._db = db

    def number(self, gateway: str) -> int | None:
        """Give the number of a gateway whose Hello was long ago, None if there never was one."""
        row = self._db.execute("SELECT id FROM gateways WHERE name = ?", (gateway,)).fetchone()
        return None if row is None else int(row[0])

    def keep(
        self, gateway: int, record: uplink_pb2.Record, identity: bytes, code: str, now_ns: int
    ) -> bool:
        """Keep a record, once, with why it has no place; False if that is one too many."""
        sql = "SELECT count(*) FROM aside WHERE gateway = ?"
        (count,) = self._db.execute(sql, (gateway,)).fetchone() or (0,)
        if count >= MOST:
            return False
        self._db.execute(
            "INSERT INTO aside (gateway, stream, epoch, seq, hash, code, at_ns, record)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (gateway, stream, epoch, seq, hash) DO NOTHING",
            (
                *(gateway, record.stream, record.epoch, record.seq, identity, code, now_ns),
                record.SerializeToString(),
            ),
        )
        return True
