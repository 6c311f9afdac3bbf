"""Reading the store beside a running server, or without one. Changes nothing.

Owns the statements about gateways, the ledger and what is behind it; `history` has those about
values. Must not know what payloads hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.db import place
from forebay_fleet.ledger import Coverage
from forebay_fleet.store.aside import Kept
from forebay_fleet.store.gaps import naming
from forebay_fleet.store.history import RECORD, History, RecordRow
from forebay_fleet.store.opening import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from forebay_fleet.errors import StoreError
    from forebay_fleet.gaps import NamedGap


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
    twins: int
    twin_ns: int


class LineRow(NamedTuple):
    """One line of the ledger; see schema.sql.

    `refused` counts samples in rejected records, `forked` those in records that were refused
    because another one has their position. `gone_earlier` counts the positions before `earlier`
    that the gateway no longer had.
    """

    id: int
    gateway: str
    stream: int
    epoch: int
    coverage: Coverage
    chain: bytes
    records: int
    samples: int
    gapped: int
    thinned: int
    bytes: int
    duplicates: int
    late: int
    next_seq: int
    ended: int
    earlier: int
    rejections: int
    refused: int
    forks: int
    forked: int
    gone_earlier: int


class ForkRow(NamedTuple):
    """A position that a second record claimed: an alarm. Times are ns since 1970 UTC."""

    gateway: str
    stream: int
    epoch: int
    seq: int
    kept: bytes
    refused: bytes
    samples: int
    times: int
    first_ns: int
    last_ns: int


class GapRow(NamedTuple):
    """One row of the table of what is not there; `seq` is None without a Gap record."""

    line: int
    seq: int | None
    cause: str
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    counted: int
    source: str
    seq_from: int
    seq_to: int


class StoreReader:
    """A connection that only reads. Raises StoreError if there is no store, or it cannot be read.

    What is asked of it later may raise `errors` of its database.
    """

    def __init__(self, directory: Path) -> None:
        """Open the store in `directory`."""
        self._db = open_reader(directory)
        self.history = History(self._db)
        self.gone: Callable[[], bool] = bool
        """Whether nobody waits any more for what it is read for."""
        self.aside = Kept(None if place.address(directory) is None else self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its database raises."""
        return self._db.errors

    def failed(self, error: Exception) -> StoreError:
        """Give what to raise for one of `errors`; this reader is good for nothing more."""
        return self._db.failed(error)

    @property
    def restored(self) -> bool:
        """Whether this store was ever put back from a backup."""
        return bool(self._value("SELECT value != '0' FROM meta WHERE key = 'era'"))

    def snapshot(self) -> None:
        """See one state of the store from here to the end, whatever the server does meanwhile."""
        self._db.snapshot()

    def gateways(self) -> list[GatewayRow]:
        """Give all gateways by name."""
        return [
            GatewayRow(*row)
            for row in self._db.execute(
                "SELECT g.id, name, version, sessions, first_seen_ns, last_hello_ns,"
                " coalesce(max(last_ns), 0), coalesce(sum(records), 0), coalesce(sum(samples), 0),"
                " coalesce(sum(bytes), 0),"
                " (SELECT count(*) FROM forks JOIN lines ON line = lines.id"
                " WHERE lines.gateway = g.id), twins, twin_ns"
                " FROM gateways g LEFT JOIN lines l ON l.gateway = g.id GROUP BY g.id ORDER BY name"
            )
        ]

    def lines(self, gateway: str | None = None) -> list[LineRow]:
        """Give the ledger, of one gateway or all, by names and streams, each stream's in order."""
        rows = self._db.execute(
            "SELECT l.id, name, stream, epoch, committed, islands, chain, records, samples, gapped,"
            " thinned, bytes, duplicates, late, next_seq, ended, earlier,"
            " (SELECT count(*) FROM rejections WHERE line = l.id),"
            " (SELECT coalesce(sum(samples), 0) FROM rejections WHERE line = l.id),"
            " (SELECT count(*) FROM forks WHERE line = l.id),"
            " (SELECT coalesce(sum(samples), 0) FROM forks WHERE line = l.id),"
            " (SELECT coalesce(sum(CASE WHEN seq_to < l.earlier THEN seq_to + 1 ELSE l.earlier END"
            " - seq_from), 0) FROM gaps WHERE target = l.id AND seq IS NULL"
            " AND seq_from < l.earlier) FROM lines l JOIN gateways g ON g.id = l.gateway"
            " WHERE name = ?1 OR ?1 IS NULL ORDER BY name, stream, place, epoch",
            (gateway,),
        )
        return [
            LineRow._make((*row[:4], Coverage.unpack(row[4], row[5]), *row[6:])) for row in rows
        ]

    def gateway_id(self, name: str) -> int | None:
        """Give a gateway's number."""
        found: int | None = self._value("SELECT id FROM gateways WHERE name = ?", (name,))
        return found

    def samples_since(self, gateway: str, time_ns: int) -> dict[int, int]:
        """Count a gateway's samples that were received after a time of this server, by stream."""
        found: dict[int, int] = {}
        rows = self._db.execute(
            "SELECT name, stream, r.samples, received_ns FROM records r"
            " JOIN lines l ON l.id = line JOIN gateways g ON g.id = l.gateway"
            " WHERE kind = ? ORDER BY r.id DESC",
            (uplink_pb2.BATCH,),
        )
        for name, stream, samples, received_ns in rows:
            if received_ns <= time_ns:
                break
            if name == gateway:
                found[stream] = found.get(stream, 0) + samples
        return found

    def records(self, line: int) -> Iterator[RecordRow]:
        """Walk a line's records in order."""
        sql = f"SELECT {RECORD} FROM records WHERE line = ? ORDER BY seq"  # noqa: S608 - as above
        for row in self._db.walk(sql, (line,)):
            yield RecordRow(*row)

    def forks(self, gateway: str | None = None) -> list[ForkRow]:
        """Give the alarms, of one gateway or all, the newest last."""
        rows = self._db.execute(
            "SELECT name, stream, epoch, f.seq, coalesce(r.hash, j.hash, ?2), f.hash, f.samples,"
            " times, first_ns, f.last_ns FROM forks f JOIN lines l ON l.id = f.line"
            " JOIN gateways g ON g.id = l.gateway"
            " LEFT JOIN records r ON r.line = f.line AND r.seq = f.seq"
            " LEFT JOIN rejections j ON j.line = f.line AND j.seq = f.seq"
            " WHERE name = ?1 OR ?1 IS NULL ORDER BY f.last_ns, name, stream, epoch, f.seq",
            (gateway, b""),
        )
        return [ForkRow(*row) for row in rows]

    def rejected(self, line: int) -> Iterator[tuple[int, bytes, int, bool]]:
        """Walk the rejected positions of a line: seq, hash, samples, whether it came late."""
        sql = "SELECT seq, hash, samples, late FROM rejections WHERE line = ? ORDER BY seq"
        for seq, name, samples, late in self._db.execute(sql, (line,)):
            yield seq, name, samples, bool(late)

    def gaps(self, line: int) -> Iterator[GapRow]:
        """Walk what records of a line, and Hellos, say is not there."""
        rows = self._db.execute(
            "SELECT line, seq, cause, time_from_ns, time_to_ns, samples, counted, source, seq_from,"
            " seq_to FROM gaps WHERE line = ? ORDER BY seq",
            (line,),
        )
        for row in rows:
            yield GapRow(*row)

    def naming(self, line: int) -> list[NamedGap]:
        """Give the Gap records that name positions of a line, wherever they stand."""
        return naming(self._db, line, 1, 1 << 62)

    def not_held(self, line: int) -> list[tuple[int, int]]:
        """Give the positions, first and last, of which a Hello said that they will not come."""
        sql = "SELECT seq_from, seq_to FROM gaps WHERE target = ? AND seq IS NULL"
        return [(first, last) for first, last in self._db.execute(sql, (line,))]

    def repeated_positions(self) -> int:
        """Count the positions that hold more than one record: the server promises that none do."""
        return int(
            self._value(
                "SELECT coalesce(sum(n - 1), 0) FROM"
                " (SELECT count(*) AS n FROM records JOIN lines l ON l.id = line"
                " GROUP BY l.gateway, stream, epoch, seq HAVING count(*) > 1) AS twice"
            )
        )

    def _value(self, sql: str, bindings: tuple[object, ...] = ()) -> Any:  # noqa: ANN401
        row = self._db.execute(sql, bindings).fetchone()
        return None if row is None else row[0]
