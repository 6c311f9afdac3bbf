"""The reading statements about values: batches by time and by position, anchors, losses.

Must not know what payloads hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.store.records import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay_fleet.db.database import Database


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


LONG_NS = 3 * 3600 * 10**9
"""No batch is longer but those that `LONG` is true of."""


class TagRow(NamedTuple):
    """A column that ever held a tag."""

    device: str
    tag: str
    schema_id: int
    column: int

    @property
    def path(self) -> str:
        """DEVICE/TAG."""
        return f"{self.device}/{self.tag}"


class TailRow(NamedTuple):
    """A line of a gateway, and how far it is there without a hole."""

    id: int
    stream: int
    epoch: int
    committed: int


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
    """What a stored batch still holds of its time: `thinned` samples were taken from it.

    `size` is that of its payload, bytes.
    """

    line: int
    seq: int
    time_min_ns: int
    time_max_ns: int
    samples: int
    thinned: int
    size: int


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

    def __init__(self, db: Database) -> None:
        """Read through `db`; its owner closes it."""
        self._db = db

    def columns(self, gateway: int, device: str, tag: str) -> list[tuple[int, int]]:
        """Give every (schema id, column) that ever held a tag."""
        rows = self._db.execute(
            "SELECT schema_id, col FROM tags WHERE gateway = ? AND device = ? AND tag = ?",
            (gateway, device, tag),
        )
        return [(schema_id, column) for schema_id, column in rows]

    def tags(self, gateway: int, only: tuple[str, str] | None = None) -> list[TagRow]:
        """Give the columns of all tags of a gateway, or of `only` (device, tag), by names."""
        sql = "SELECT device, tag, schema_id, col FROM tags WHERE gateway = ?"
        order = " ORDER BY device, tag, schema_id, col"
        if only is None:
            return [TagRow(*row) for row in self._db.execute(sql + order, (gateway,))]
        sql += " AND device = ? AND tag = ?"
        return [TagRow(*row) for row in self._db.execute(sql + order, (gateway, *only))]

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

    def tails(self, gateway: int) -> list[TailRow]:
        """Give how far each line of a gateway is, each stream's in their order."""
        sql = (
            "SELECT id, stream, epoch, committed FROM lines WHERE gateway = ?"
            " ORDER BY place, epoch, stream"
        )
        return [TailRow(*row) for row in self._db.execute(sql, (gateway,))]

    def schemas_in(self, place: Place) -> list[int]:
        """Give the schemas of the batches of a place."""
        sql = (
            "SELECT DISTINCT schema_id FROM records"
            " WHERE line = ? AND seq BETWEEN ? AND ? AND schema_id IS NOT NULL"
        )
        return [schema_id for (schema_id,) in self._db.execute(sql, place)]

    def newest(
        self, gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None = None
    ) -> Iterator[RecordRow]:
        """Walk a schema's batches that may hold samples of `span_ns`, the latest end first.

        All of them, or those of one place.
        """
        for part in (_far, _near):
            where, values = part(gateway, schema_id, span_ns, place)
            sql = f"SELECT {RECORD} FROM records WHERE {where} ORDER BY time_max_ns DESC"  # noqa: S608 - constants
            for row in self._db.walk(sql, values):
                yield RecordRow(*row)

    def payloads(
        self, gateway: int, schema_id: int, span_ns: tuple[int, int]
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """Walk as `newest` does, as tuples (line, seq, samples, payload): many, so no objects."""
        for part in (_far, _near):
            where, values = part(gateway, schema_id, span_ns, None)
            sql = f"SELECT line, seq, samples, payload FROM records WHERE {where}"  # noqa: S608 - constants
            yield from self._db.walk(f"{sql} ORDER BY time_max_ns DESC", values)

    def ordered(self, place: Place, schema_id: int) -> Iterator[RecordRow]:
        """Walk a schema's batches of one place in the order of positions."""
        sql = (
            f"SELECT {RECORD} FROM records"  # noqa: S608 - a constant
            " WHERE line = ? AND seq BETWEEN ? AND ? AND schema_id = ? ORDER BY seq"
        )
        for row in self._db.walk(sql, (*place, schema_id)):
            yield RecordRow(*row)

    def detail(
        self, gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None = None
    ) -> Iterator[DetailRow]:
        """Walk what is known of the resolution of a schema's batches, the earliest end first."""
        for part in (_near, _far):
            where, values = part(gateway, schema_id, span_ns, place)
            sql = (
                "SELECT line, seq, time_min_ns, time_max_ns, samples, thinned, length(payload)"  # noqa: S608 - constants
                " FROM records"
                f" WHERE {where} ORDER BY time_max_ns"
            )
            for row in self._db.walk(sql, values):
                yield DetailRow(*row)

    def anchors(self, gateway: int) -> Iterator[AnchorRow]:
        """Walk a gateway's anchors by line and position."""
        sql = (
            "SELECT line, seq, payload FROM records WHERE gateway = ? AND kind = 4"
            " ORDER BY line, seq"
        )
        for row in self._db.execute(sql, (gateway,)):
            yield AnchorRow(*row)

    def thinned(self, gateway: int) -> bool:
        """Whether thinning ever took anything from a gateway's batches."""
        sql = (
            "SELECT 1 FROM gaps JOIN lines l ON l.id = line WHERE gateway = ? AND cause = 'THINNED'"
        )
        return self._db.execute(f"{sql} LIMIT 1", (gateway,)).fetchone() is not None

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


def _near(
    gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None
) -> tuple[str, tuple[int, ...]]:
    """Give the condition, and its values, of all that meets a span but for `_far`.

    Batches are short, so none that ends long after the span began in it: the index is read no
    further, however much was stored since.
    """
    where = "gateway = ? AND schema_id = ? AND time_max_ns BETWEEN ? AND ? AND time_min_ns <= ?"
    first_ns, last_ns = span_ns
    return _at(where, (gateway, schema_id, first_ns, last_ns + LONG_NS, last_ns), place)


def _far(
    gateway: int, schema_id: int, span_ns: tuple[int, int], place: Place | None
) -> tuple[str, tuple[int, ...]]:
    """Give the condition of those that are not short: an index of their own has them."""
    where = f"gateway = ? AND schema_id = ? AND time_max_ns > ? AND time_min_ns <= ? AND {LONG}"
    last_ns = span_ns[1]
    return _at(where, (gateway, schema_id, last_ns + LONG_NS, last_ns), place)


def _at(where: str, values: tuple[int, ...], place: Place | None) -> tuple[str, tuple[int, ...]]:
    if place is None:
        return where, values
    return f"{where} AND line = ? AND seq BETWEEN ? AND ?", (*values, *place)
