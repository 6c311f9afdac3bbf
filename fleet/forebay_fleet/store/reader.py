"""Reading the store beside a running server, or without one. Changes nothing.

Owns the reading statements. Must not know what payloads hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import apsw

from forebay_fleet.errors import StoreError
from forebay_fleet.ledger import Coverage
from forebay_fleet.store.opening import FILE, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class GatewayRow(NamedTuple):
    """One gateway; counts are over all its lines, times are ns since 1970 UTC, 0 for never."""

    id: int
    name: str
    version: str
    sessions: int
    first_seen_ns: int
    last_hello_ns: int
    last_record_ns: int
    records: int
    samples: int
    bytes: int
    forks: int


class LineRow(NamedTuple):
    """One line of the ledger; see schema.sql. `refused` counts samples in rejected records."""

    id: int
    gateway: str
    stream: int
    epoch: int
    coverage: Coverage
    chain: bytes
    records: int
    samples: int
    gapped: int
    bytes: int
    duplicates: int
    rejections: int
    refused: int
    forks: int


class RecordRow(NamedTuple):
    """One stored record."""

    line: int
    seq: int
    kind: int
    revision: int
    samples: int
    received_ns: int
    hash: bytes
    gateway: int
    schema_id: int | None
    payload: bytes


_RECORD = "line, seq, kind, revision, samples, received_ns, hash, gateway, schema_id, payload"


class StoreReader:
    """A connection that only reads. Raises StoreError if there is no store."""

    def __init__(self, directory: Path) -> None:
        """Open the store in `directory`."""
        path = directory / FILE
        if not path.is_file():
            raise StoreError(f"no store in {directory}", hint="name the --data of the server")
        try:
            # Not read-only: without a server there is no shared memory of the WAL, and SQLite has
            # to make it.
            self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            self._db.set_busy_timeout(10_000)
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._db.execute("PRAGMA query_only = ON")
            version = self._db.pragma("user_version")
        except apsw.Error as error:
            raise StoreError(
                f"the store cannot be read: {error}", hint="check who owns the files"
            ) from error
        if version != VERSION:
            raise StoreError(
                f"the store has version {version}, this program knows {VERSION}",
                hint="use the version that made it",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def snapshot(self) -> None:
        """See one state of the store from here to the end, whatever the server does meanwhile."""
        self._db.execute("BEGIN")

    def gateways(self) -> list[GatewayRow]:
        """Give all gateways by name."""
        return [
            GatewayRow(*row)
            for row in self._db.execute(
                "SELECT g.id, name, version, sessions, first_seen_ns, last_hello_ns,"
                " coalesce(max(last_ns), 0), coalesce(sum(records), 0), coalesce(sum(samples), 0),"
                " coalesce(sum(bytes), 0),"
                " (SELECT count(*) FROM forks JOIN lines ON line = lines.id"
                " WHERE lines.gateway = g.id) FROM gateways g LEFT JOIN lines l ON l.gateway = g.id"
                " GROUP BY g.id ORDER BY name"
            )
        ]

    def lines(self, gateway: str | None = None) -> list[LineRow]:
        """Give the ledger, of one gateway or all, in the order of names, streams and epochs."""
        rows = self._db.execute(
            "SELECT l.id, name, stream, epoch, committed, islands, chain, records, samples, gapped,"
            " bytes, duplicates, (SELECT count(*) FROM rejections WHERE line = l.id),"
            " (SELECT CAST(total(samples) AS INTEGER) FROM rejections WHERE line = l.id),"
            " (SELECT count(*) FROM forks WHERE line = l.id) FROM lines l"
            " JOIN gateways g ON g.id = l.gateway WHERE name = ?1 OR ?1 IS NULL"
            " ORDER BY name, stream, epoch",
            (gateway,),
        )
        return [
            LineRow._make((*row[:4], Coverage.unpack(row[4], row[5]), *row[6:])) for row in rows
        ]

    def gateway_id(self, name: str) -> int | None:
        """Give a gateway's number."""
        found: int | None = self._value("SELECT id FROM gateways WHERE name = ?", (name,))
        return found

    def columns(self, gateway: int, device: str, tag: str) -> list[tuple[int, int]]:
        """Give every (schema id, column) that ever held a tag."""
        rows = self._db.execute(
            "SELECT schema_id, col FROM tags WHERE gateway = ? AND device = ? AND tag = ?",
            (gateway, device, tag),
        )
        return [(schema_id, column) for schema_id, column in rows]

    def schema(self, gateway: int, schema_id: int) -> bytes | None:
        """Give a schema's payload."""
        found: bytes | None = self._value(
            "SELECT payload FROM schemas WHERE gateway = ? AND schema_id = ?", (gateway, schema_id)
        )
        return found

    def newest(
        self, gateway: int, schema_id: int, from_ns: int, to_ns: int
    ) -> Iterator[tuple[int, RecordRow]]:
        """Walk a schema's batches that may hold samples in `from_ns..to_ns`: (end, record).

        The latest end comes first.
        """
        sql = (
            f"SELECT time_max_ns, {_RECORD} FROM records"  # noqa: S608 - a constant
            " WHERE gateway = ? AND schema_id = ? AND time_max_ns >= ? AND time_min_ns <= ?"
            " ORDER BY time_max_ns DESC"
        )
        for end_ns, *row in self._db.execute(sql, (gateway, schema_id, from_ns, to_ns)):
            yield end_ns, RecordRow(*row)

    def records(self, line: int) -> Iterator[RecordRow]:
        """Walk a line's records in order."""
        sql = f"SELECT {_RECORD} FROM records WHERE line = ? ORDER BY seq"  # noqa: S608 - as above
        for row in self._db.execute(sql, (line,)):
            yield RecordRow(*row)

    def rejected(self, line: int) -> dict[int, bytes]:
        """Give the rejected positions of a line and their hashes."""
        sql = "SELECT seq, hash FROM rejections WHERE line = ?"
        rows: list[Any] = self._db.execute(sql, (line,)).fetchall()
        return dict(rows)

    def gap_ranges(self, gateway: str, stream: int, epoch: int) -> list[tuple[int, int, bool]]:
        """Give what gaps account for in one epoch: first, last, whether a Gap record says so."""
        return [
            (first, last, bool(told))
            for first, last, told in self._db.execute(
                "SELECT seq_from, seq_to, seq IS NOT NULL FROM gaps JOIN lines l ON l.id = line"
                " JOIN gateways g ON g.id = l.gateway"
                " WHERE name = ? AND stream = ? AND gaps.epoch = ? AND seq_to > 0",
                (gateway, stream, epoch),
            )
        ]

    def counted(self, line: int) -> int:
        """Add up what the Gap records of a line were found to account for, in samples."""
        sql = "SELECT CAST(total(counted) AS INTEGER) FROM gaps WHERE line = ?"
        return int(self._value(sql, (line,)))

    def repeated_positions(self) -> int:
        """Count the positions that hold more than one record: the server promises that none do."""
        return int(
            self._value(
                "SELECT coalesce(sum(n - 1), 0) FROM"
                " (SELECT count(*) AS n FROM records JOIN lines l ON l.id = line"
                " GROUP BY l.gateway, stream, epoch, seq HAVING n > 1)"
            )
        )

    def _value(self, sql: str, bindings: tuple[object, ...] = ()) -> Any:  # noqa: ANN401
        row = self._db.execute(sql, bindings).fetchone()
        return None if row is None else row[0]
