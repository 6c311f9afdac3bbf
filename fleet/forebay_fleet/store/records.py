"""How records come into the store: one by one into SQLite, by COPY into the days of PostgreSQL.

Owns the parts by day, and when they are made. Must not know the ledger.

A part is made when the first record of its day comes, by a connection of its own: it takes no lock
that a reader, or another writer, waits for. That is why there is no DEFAULT partition: attaching
beside one locks it. Records of a day that has no part go astray, into a part that every query looks
into: those of the future, those of before 2000, and all once there are MAX_DAYS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_fleet.db.database import Database
    from forebay_fleet.db.postgres import PostgresDatabase

COLUMNS = (
    "line, seq, kind, revision, historical, samples, thinned, late, time_min_ns, time_max_ns,"
    " received_ns, hash, gateway, schema_id, payload"
)
_TIME_MAX, _RECEIVED = 9, 10
DAY_NS = 86_400 * 10**9
FIRST_DAY = 10_957
"""2000-01-01, in days since 1970."""
MAX_DAYS = 4_000
"""Parts that there may be: each costs every query that names no time."""
MAX_WAITING = 10_000
"""Rows that wait for COPY."""
_TYPES = (*("int8",) * 11, "bytea", "int8", "int8", "bytea", "int2")
LONG = "time_max_ns / 3600000000000 > time_min_ns / 3600000000000 + 1"
"""Which batches have an index of their own, as they are no short ones: see `history`."""
_INDEXES = (
    "CREATE UNIQUE INDEX {name}_at ON {name} (line, seq)",
    "CREATE INDEX {name}_by_time ON {name} (gateway, schema_id, time_max_ns, time_min_ns)",
    (
        f"CREATE INDEX {{name}}_long ON {{name}} (gateway, schema_id, time_max_ns)"
        f" WHERE schema_id IS NOT NULL AND {LONG}"
    ),
    "CREATE INDEX {name}_anchors ON {name} (gateway, line, seq) WHERE kind = 4",
    "CREATE INDEX {name}_received ON {name} USING brin (received_ns)",
)

_log = structlog.get_logger()


class Records(Protocol):
    """Where a writer puts records, inside its transactions."""

    def add(self, row: Sequence[Any]) -> None:
        """Insert one: values of `COLUMNS`."""

    def begin(self) -> None:
        """Forget what a transaction that failed has left."""

    def flush(self) -> None:
        """Insert what waits."""


class OneByOne:
    """In SQLite."""

    def __init__(self, db: Database) -> None:
        """Insert through `db`."""
        self._db = db
        self._sql = f"INSERT INTO records ({COLUMNS}) VALUES (?{', ?' * 14})"  # noqa: S608 - constants

    def add(self, row: Sequence[Any]) -> None:
        """See `Records`."""
        self._db.execute(self._sql, row)

    def begin(self) -> None:
        """See `Records`."""

    def flush(self) -> None:
        """See `Records`."""


class ByDay:
    """In PostgreSQL. Whatever else is asked of `db` sees what was added before."""

    def __init__(self, db: PostgresDatabase) -> None:
        """Insert through `db`."""
        self._db = db
        self._waiting: list[tuple[Any, ...]] = []
        self._days: set[int] = set()
        self._refused: set[int] = set()
        db.before = self.flush

    def add(self, row: Sequence[Any]) -> None:
        """See `Records`."""
        self._waiting.append((*row, 0))
        if len(self._waiting) >= MAX_WAITING:
            self.flush()

    def begin(self) -> None:
        """See `Records`."""
        self._waiting.clear()

    def flush(self) -> None:
        """See `Records`."""
        if not self._waiting:
            return
        rows, self._waiting = self._waiting, []
        missing = {row[_TIME_MAX] // DAY_NS for row in rows} - self._days
        if missing:
            newest = max(row[_RECEIVED] for row in rows) // DAY_NS + 1
            self._make({day for day in missing if FIRST_DAY <= day <= newest})
            rows = [
                row if row[_TIME_MAX] // DAY_NS in self._days else (*row[:-1], 1) for row in rows
            ]
        self._db.copy(f"records ({COLUMNS}, astray)", _TYPES, rows)

    def _make(self, days: set[int]) -> None:
        """Make the parts of `days`, or take them for made where another process was first."""
        days -= self._refused
        if not days:
            return
        side = self._db.another()
        try:
            with side.preparing():
                self._days |= known_days(side)
                for day in sorted(days - self._days):
                    if len(self._days) >= MAX_DAYS:
                        self._refused.add(day)
                        _log.error("too_many_days", most=MAX_DAYS, hint="drop parts of records")
                        return
                    make_day(side, day)
                    self._days.add(day)
        finally:
            side.close()


def known_days(db: PostgresDatabase) -> set[int]:
    """Give the days that have a part."""
    rows = db.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'records_dated'::regclass"
    )
    return {int(name.rpartition("_")[2]) for (name,) in rows}


def make_day(db: PostgresDatabase, day: int) -> None:
    """Make the part of a day, with its indexes, and attach it."""
    name = f"records_{day}"
    with db.transaction():
        db.plain(f"CREATE TABLE {name} (LIKE records_dated INCLUDING DEFAULTS)")
        make_indexes(db, name)
        db.plain(
            f"ALTER TABLE records_dated ATTACH PARTITION {name}"
            f" FOR VALUES FROM ({day * DAY_NS}) TO ({(day + 1) * DAY_NS})"
        )


def make_indexes(db: PostgresDatabase, name: str) -> None:
    """Give a part of `records` its indexes."""
    for sql in _INDEXES:
        db.plain(sql.format(name=name))
