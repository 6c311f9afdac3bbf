"""The table of what is not there, and what the store has around it.

Owns its statements. Must not know how many of a Gap's samples count (`forebay_fleet.gaps`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.ledger import MAX_GAPPED

if TYPE_CHECKING:
    import apsw

    from forebay_fleet.store.writer import Line

NOT_HELD = "NOT_HELD"
"""Cause of a gap without a Gap record: the gateway said that its journal no longer holds it."""


class Held(NamedTuple):
    """What the store has of a run of positions: how many of them, and their samples.

    Refused records are among them, and the samples of held Gap records that never had a position.
    """

    positions: int
    samples: int


class Named(NamedTuple):
    """Positions that an earlier Gap record names, both ends inclusive."""

    first: int
    last: int
    cause: str
    counted: int


class GapTable:
    """Works on the writer's connection, inside its transactions."""

    def __init__(self, db: apsw.Connection) -> None:
        """Use the connection; its owner closes it."""
        self._db = db

    def held(self, line: Line, first: int, last: int) -> Held:
        """Tell what is there of `first..last`, records and rejections."""
        found = self._db.execute(
            # total, not sum: what a hostile gateway makes overflow would stop the server.
            "SELECT sum(positions), CAST(total(samples) AS INTEGER) FROM"
            " (SELECT count(*) AS positions, total(samples * (kind = ?4)) AS samples FROM records"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3"
            " UNION ALL SELECT 0, total(counted) FROM gaps"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3 AND seq_to = 0"
            " UNION ALL SELECT count(*), total(samples) FROM rejections"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3)",
            (line.id, first, last, uplink_pb2.BATCH),
        ).fetchone()
        positions, samples = found or (0, 0)
        return Held(positions, samples)

    def named(self, line: Line, first: int, last: int) -> list[Named]:
        """Give what Gap records name so far of `first..last` of a line, in whole, oldest first."""
        rows = self._db.execute(
            "SELECT seq_from, seq_to, cause, counted FROM gaps JOIN lines l ON l.id = line"
            " WHERE l.gateway = ? AND l.stream = ? AND gaps.epoch = ? AND seq IS NOT NULL"
            " AND seq_to >= ? AND seq_from <= ? AND seq_to > 0 ORDER BY gaps.id",
            (*line.key, first, last),
        )
        return [Named(*row) for row in rows]

    def insert(self, line: Line, seq: int, gap: batch_pb2.Gap, counted: int) -> None:
        """Keep what a Gap record says, and add what of its samples counts to the line."""
        samples = gap.samples if gap.HasField("samples") else None
        row = (gap.time_from_ns, gap.time_to_ns, samples, counted, gap.source, gap.epoch)
        self._insert(line, seq, batch_pb2.GapCause.Name(gap.cause), row, gap.seq_from, gap.seq_to)
        line.gapped = min(line.gapped + counted, MAX_GAPPED)

    def insert_not_held(self, line: Line, first: int, last: int) -> None:
        """Keep that a Hello said `first..last` will never come."""
        self._insert(line, None, NOT_HELD, (0, 0, None, 0, "", line.key.epoch), first, last)

    def _insert(
        self,
        line: Line,
        seq: int | None,
        cause: str,
        row: tuple[object, ...],
        first: int,
        last: int,
    ) -> None:
        self._db.execute(
            "INSERT INTO gaps (line, seq, cause, time_from_ns, time_to_ns, samples, counted,"
            " source, epoch, seq_from, seq_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (line.id, seq, cause, *row, first, last),
        )
