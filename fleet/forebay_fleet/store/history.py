"""The reading statements about values: batches by time and by position, anchors, losses.

Must not know what payloads hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw


class RecordRow(NamedTuple):
    """One stored record."""

    line: int
    seq: int
    kind: int
    revision: int
    samples: int
    thinned: int
    late: bool
    time_min_ns: int
    time_max_ns: int
    received_ns: int
    hash: bytes
    gateway: int
    schema_id: int | None
    payload: bytes


RECORD = (
    "line, seq, kind, revision, samples, thinned, late, time_min_ns, time_max_ns, received_ns,"
    " hash, gateway, schema_id, payload"
)
"""The columns of a `RecordRow`."""


class Place(NamedTuple):
    """A run of positions of one line (its number in the store), both ends inclusive."""

    line: int
    first: int
    last: int


class AnchorRow(NamedTuple):
    """One stored Anchor; `line` is the number of its line."""

    line: int
    seq: int
    payload: bytes


class DetailRow(NamedTuple):
    """What a stored batch still holds of its time: `thinned` samples were taken from it."""

    line: int
    seq: int
    time_min_ns: int
    time_max_ns: int
    samples: int
    thinned: int


class ToldRow(NamedTuple):
    """A Gap record, told for people.

    `line` and `seq` are the first position that it names, its own if it names none; `missing` of
    the positions it names are not here, None if it names none.
    """

    line: int
    seq: int
    cause: str
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    counted: int
    source: str
    missing: int | None


class LineRef(NamedTuple):
    """A line of one gateway; see schema.sql."""

    id: int
    stream: int
    epoch: int
    place: int


class History:
    """Works on a reader's connection."""

    def __init__(self, db: apsw.Connection) -> None:
        """Read through `db`; its owner closes it."""
        self._db = db

    def columns(self, gateway: int, device: str, tag: str) -> list[tuple[int, int]]:
        """Give every (schema id, column) that ever held a tag."""
        rows = self._db.execute(
            "SELECT schema_id, col FROM tags WHERE gateway = ? AND device = ? AND tag = ?",
            (gateway, device, tag),
        )
        return [(schema_id, column) for schema_id, column in rows]

    def schema(self, gateway: int, schema_id: int) -> bytes | None:
        """Give a schema's payload."""
        row = self._db.execute(
            "SELECT payload FROM schemas WHERE gateway = ? AND schema_id = ?", (gateway, schema_id)
        ).fetchone()
        return None if row is None else row[0]

    def lines(self, gateway: int) -> list[LineRef]:
        """Give the lines of a gateway, each stream's in their order."""
        sql = (
            "SELECT id, stream, epoch, place FROM lines WHERE gateway = ?"
            " ORDER BY place, epoch, stream"
        )
        return [LineRef(*row) for row in self._db.execute(sql, (gateway,))]

    def newest(
        self, gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None = None
    ) -> Iterator[RecordRow]:
        """Walk a schema's batches that may hold samples of `span_ns`, the latest end first.

        All of them, or those of one place.
        """
        sql = (
            f"SELECT {RECORD} FROM records"  # noqa: S608 - a constant
            " WHERE gateway = ?1 AND schema_id = ?2 AND time_max_ns >= ?3 AND time_min_ns <= ?4"
            " AND (?5 IS NULL OR line = ?5 AND seq BETWEEN ?6 AND ?7) ORDER BY time_max_ns DESC"
        )
        where = place or (None, None, None)
        for row in self._db.execute(sql, (gateway, schema_id, *span_ns, *where)):
            yield RecordRow(*row)

    def ordered(self, place: Place, schema_id: int) -> Iterator[RecordRow]:
        """Walk a schema's batches of one place in the order of positions."""
        sql = (
            f"SELECT {RECORD} FROM records"  # noqa: S608 - a constant
            " WHERE line = ? AND seq BETWEEN ? AND ? AND schema_id = ? ORDER BY seq"
        )
        for row in self._db.execute(sql, (*place, schema_id)):
            yield RecordRow(*row)

    def detail(
        self, gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None = None
    ) -> Iterator[DetailRow]:
        """Walk what is known of the resolution of a schema's batches, the earliest end first."""
        sql = (
            "SELECT line, seq, time_min_ns, time_max_ns, samples, thinned FROM records"
            " WHERE gateway = ?1 AND schema_id = ?2 AND time_max_ns >= ?3 AND time_min_ns <= ?4"
            " AND (?5 IS NULL OR line = ?5 AND seq BETWEEN ?6 AND ?7) ORDER BY time_max_ns"
        )
        where = place or (None, None, None)
        for row in self._db.execute(sql, (gateway, schema_id, *span_ns, *where)):
            yield DetailRow(*row)

    def anchors(self, gateway: int) -> Iterator[AnchorRow]:
        """Walk a gateway's anchors by line and position."""
        sql = (
            "SELECT line, seq, payload FROM records WHERE gateway = ? AND kind = 4"
            " ORDER BY line, seq"
        )
        for row in self._db.execute(sql, (gateway,)):
            yield AnchorRow(*row)

    def told(self, gateway: int, source: str) -> Iterator[ToldRow]:
        """Walk the Gap records that concern a device: its own, and those of all devices."""
        rows = self._db.execute(
            "SELECT coalesce(target, line), coalesce(nullif(seq_from, 0), seq), cause,"
            " time_from_ns, time_to_ns, gaps.samples, counted, source,"
            " CASE WHEN target IS NULL THEN NULL ELSE seq_to - seq_from + 1"
            " - (SELECT count(*) FROM records r WHERE r.line = target"
            "    AND r.seq BETWEEN seq_from AND seq_to) END"
            " FROM gaps JOIN lines l ON l.id = line"
            " WHERE l.gateway = ? AND source IN (?, '') AND gaps.seq IS NOT NULL"
            " AND cause != 'THINNED' ORDER BY gaps.id",
            (gateway, source),
        )
        for row in rows:
            yield ToldRow(*row)
