"""The table of what is not there, and what the store has around it.

Owns its statements. Must not know how many of a Gap's samples count (`forebay_fleet.gaps`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.gaps import NamedGap
from forebay_fleet.ledger import MAX_GAPPED, MAX_REPORTED_ISLANDS, Island

if TYPE_CHECKING:
    from forebay_fleet.db.database import Database
    from forebay_fleet.store.writer import Line

NOT_HELD = "NOT_HELD"
"""Cause of a gap without a Gap record: the gateway said that its journal no longer holds it."""
THINNED = "THINNED"
"""Cause of a gap inside a record: thinning took samples from it, and it says so itself."""

_LACKING = (
    "WITH held AS (SELECT seq FROM records WHERE line = ?1 AND seq BETWEEN ?2 AND ?3"
    " UNION ALL SELECT seq FROM rejections WHERE line = ?1 AND seq BETWEEN ?2 AND ?3"
    " UNION ALL SELECT ?3 + 1)"
    " SELECT before + 1, seq - 1"
    " FROM (SELECT seq, lag(seq, 1, ?2 - 1) OVER (ORDER BY seq) AS before FROM held) AS walked"
    " WHERE seq > before + 1 ORDER BY seq"
)
"""The runs of the positions ?2..?3 of the line ?1 at which nothing is."""


class StoredHoldings:
    """What the store has of a line, for the arithmetic of gaps."""

    def __init__(self, db: Database, line: int) -> None:
        """Read through `db`, inside its transaction."""
        self._db = db
        self._line = line

    def positions(self, first: int, last: int) -> int:
        """See `forebay_fleet.gaps.Holdings`. Reads nothing but indexes."""
        return self._sum(
            "SELECT count(*) AS n FROM records WHERE line = ?1 AND seq BETWEEN ?2 AND ?3"
            " UNION ALL"
            " SELECT count(*) FROM rejections WHERE line = ?1 AND seq BETWEEN ?2 AND ?3",
            (self._line, first, last),
        )

    def samples(self, first: int, last: int) -> int:
        """See `forebay_fleet.gaps.Holdings`."""
        return self._sum(
            "SELECT sum(CAST(samples + thinned AS DOUBLE PRECISION)) AS n FROM records"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = ?4"
            " UNION ALL SELECT sum(CAST(counted AS DOUBLE PRECISION)) FROM gaps"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3 AND seq_to = 0"
            " UNION ALL SELECT sum(CAST(samples AS DOUBLE PRECISION)) FROM rejections"
            " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3",
            (self._line, first, last, uplink_pb2.BATCH),
        )

    def _sum(self, parts: str, bindings: tuple[int, ...]) -> int:
        rows = self._db.execute(parts, bindings).fetchall()
        return sum(int(count) for (count,) in rows if count is not None)


class GapTable:
    """Works on the writer's connection, inside its transactions."""

    def __init__(self, db: Database) -> None:
        """Use the connection; its owner closes it."""
        self._db = db

    def holdings(self, line: Line) -> StoredHoldings:
        """Give what there is of a line."""
        return StoredHoldings(self._db, line.id)

    def naming(self, line: Line, first: int, last: int) -> list[NamedGap]:
        """Give the Gap records that name any of `first..last` of a line, in whole."""
        return naming(self._db, line.id, first, last)

    def lacking(self, line: Line, first: int, last: int) -> list[Island]:
        """Give the runs of `first..last` that gaps account for and of which nothing is here.

        Ascending, at most MAX_REPORTED_ISLANDS: the last of so many reaches over all that is left,
        and so may hold what is here.
        """
        found: list[Island] = []
        for named in _runs(self._db, line.id, first, last):
            for run in self._db.execute(_LACKING, (line.id, *named)):
                if len(found) == MAX_REPORTED_ISLANDS:
                    found[-1] = Island(found[-1].first, run[1])
                else:
                    found.append(Island(*run))
        return found

    def insert(self, line: Line, seq: int, gap: batch_pb2.Gap, target: Line | None) -> None:
        """Keep what a Gap record says.

        Its samples count at once if it names no positions, else not before `recount`.
        """
        samples = gap.samples if gap.HasField("samples") else None
        counted = gap.samples if target is None else 0
        times = (gap.time_from_ns, gap.time_to_ns)
        places = (None if target is None else target.id, gap.seq_from, gap.seq_to)
        cause = batch_pb2.GapCause.Name(gap.cause)
        self._insert(line, seq, cause, times, (samples, counted, gap.source), places)

    def insert_thinned(self, line: Line, record: uplink_pb2.Record) -> None:
        """Keep what thinning took from a record that is being stored."""
        times = (record.time_min_ns, record.time_max_ns)
        samples = (record.thinned, record.thinned, "")
        self._insert(line, record.seq, THINNED, times, samples, (None, record.seq, record.seq))
        line.thinned += record.thinned

    def insert_not_held(self, line: Line, first: int, last: int) -> None:
        """Keep that a gateway said `first..last` will never come."""
        self._insert(line, None, NOT_HELD, (0, 0), (None, 0, ""), (line.id, first, last))

    def recount(self, line: Line, gap: NamedGap, counted: int) -> None:
        """Correct how many samples count of a Gap record that stands in `line`."""
        self._db.execute("UPDATE gaps SET counted = ? WHERE id = ?", (counted, gap.id))
        self._credit(line, counted - gap.counted)

    def _insert(
        self,
        line: Line,
        seq: int | None,
        cause: str,
        times_ns: tuple[int, int],
        samples: tuple[int | None, int, str],
        places: tuple[int | None, int, int],
    ) -> None:
        """`samples`: said, counted, of which source; `places`: target, first and last seq."""
        self._db.execute(
            "INSERT INTO gaps (line, seq, cause, time_from_ns, time_to_ns, samples, counted,"
            " source, target, seq_from, seq_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (line.id, seq, cause, *times_ns, *samples, *places),
        )
        self._credit(line, samples[1])

    def _credit(self, line: Line, samples: int) -> None:
        if line.gapped < MAX_GAPPED:
            line.gapped = min(line.gapped + samples, MAX_GAPPED)
        elif samples < 0:
            sql = "SELECT sum(CAST(counted AS DOUBLE PRECISION)) FROM gaps WHERE line = ?"
            (counted,) = self._db.execute(sql, (line.id,)).fetchone() or (None,)
            line.gapped = min(int(counted or 0), MAX_GAPPED)


def _runs(db: Database, line: int, first: int, last: int) -> list[Island]:
    """Give the runs of `first..last` of a line that gaps name, with or without a Gap record."""
    named = db.execute(
        "SELECT seq_from, seq_to FROM gaps"
        " WHERE target = ?1 AND seq_to >= ?2 AND seq_from <= ?3 ORDER BY seq_from",
        (line, first, last),
    )
    found: list[Island] = []
    for told_first, told_last in named:
        low, high = max(told_first, first), min(told_last, last)
        if found and low <= found[-1].last + 1:
            found[-1] = Island(found[-1].first, max(found[-1].last, high))
        else:
            found.append(Island(low, high))
    return found


def naming(db: Database, line: int, first: int, last: int) -> list[NamedGap]:
    """Give the Gap records that name any of `first..last` of the line with the number `line`."""
    rows = db.execute(
        "SELECT g.id, l.epoch, seq, cause, seq_from, seq_to, g.samples, counted"
        " FROM gaps g JOIN lines l ON l.id = g.line"
        " WHERE target = ? AND seq_to >= ? AND seq_from <= ? AND seq IS NOT NULL",
        (line, first, last),
    )
    return [NamedGap(*row) for row in rows]
