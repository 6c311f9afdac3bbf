"""The connection that changes the store, or a part: one thread, all changes in `transaction`.

Owns the statements and the lines of the ledger in memory. Must not know what makes a record
acceptable (`ingest`).
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from forebay_fleet._proto import batch_pb2
from forebay_fleet.envelope import MAX_SAMPLES
from forebay_fleet.ledger import GENESIS, Coverage, extend
from forebay_fleet.store.aside import Aside
from forebay_fleet.store.gaps import GapTable
from forebay_fleet.store.opening import MOST_PARTS, connect
from forebay_fleet.store.owning import identify, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay_fleet._proto import uplink_pb2
    from forebay_fleet.decode import SchemaView


class LineKey(NamedTuple):
    """What names a line of the ledger; `gateway` is the store's number for it."""

    gateway: int
    stream: int
    epoch: int


@dataclass(slots=True)
class Line:
    """One line of the ledger, as the running transaction sees it. Counts as in schema.sql."""

    id: int
    key: LineKey
    coverage: Coverage
    chain: bytes = GENESIS
    records: int = 0
    samples: int = 0
    gapped: int = 0
    thinned: int = 0
    bytes: int = 0
    duplicates: int = 0
    late: int = 0
    last_ns: int = 0
    next_seq: int = 0
    ended: int = 0
    era: int = -1
    earlier: int = 0


_SAVED = (
    *("records", "samples", "gapped", "thinned", "bytes", "duplicates", "late", "last_ns"),
    *("next_seq", "ended", "era", "earlier"),
)
"""Columns of `lines` that are attributes of `Line` as they are."""
_SAVE = (
    "UPDATE lines SET committed = ?, islands = ?, chain = ?,"  # noqa: S608 - constants
    f" {', '.join(f'{name} = ?' for name in _SAVED)} WHERE id = ?"
)


class Known(NamedTuple):
    """What the store has at a position: a record, or the rejection of one.

    `late` says that it came after a gap had accounted for the position.
    """

    hash: bytes
    rejected: bool
    late: bool


class Greeted(NamedTuple):
    """A gateway's number; whether it came before in this era, and its horizon (schema.sql)."""

    gateway: int
    again: bool
    horizon: int


class StoreWriter:
    """Opens the store and owns it until `close`.

    `gaps` and `aside` are changed inside `transaction` too. After an exception inside `transaction`
    the object's memory no longer matches the disk: close it.
    """

    def __init__(self, directory: Path, part: int | None = None) -> None:
        """Open, or make, the store of `directory`: all of it, or one of MOST_PARTS.

        Those who own a part must share out the gateways among the parts. One of SQLite has none.

        Raises:
            UsageError, StoreLocked, StoreError or StoreFailed: see `connect`.
        """
        assert part is None or 0 <= part < MOST_PARTS
        with ExitStack() as stack:
            if part is None:
                stack.callback(os.close, lock(directory))
            self._db, self._records = connect(directory, part)
            stack.callback(self._db.close)
            self.incarnation, self.era = identify(self._db, directory)
            self._stack = stack.pop_all()
        self._lines: dict[LineKey, Line] = {}
        self._dirty: dict[LineKey, Line] = {}
        self._columns: dict[tuple[int, int], int] = {}
        self.gaps = GapTable(self._db)
        self.aside = Aside(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and give up what this one owned."""
        self._stack.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block did, durably; all of it or nothing. Raises StoreFailed."""
        try:
            with self._db.transaction():
                self._records.begin()
                yield
                self._records.flush()
                self._db.executemany(_SAVE, (_values(line) for line in self._dirty.values()))
            self._dirty.clear()
        except self._db.errors as error:
            raise self._db.failed(error) from error

    def greet(self, hello: uplink_pb2.Hello, now_ns: int, max_gateways: int) -> Greeted | None:
        """Note a gateway's session; None if that is one gateway too many."""
        row = self._one("SELECT era, horizon FROM gateways WHERE name = ?", (hello.gateway,))
        if row is None and self._count("SELECT count(*) FROM gateways") >= max_gateways:
            return None
        again = row is not None and row[0] == self.era
        told = (head.epoch for head in hello.heads if head.next_seq > 1)
        horizon = row[1] if row and again else max(told, default=0)
        number = self._count(
            "INSERT INTO gateways"
            " (name, version, boot_id, sessions, first_seen_ns, last_hello_ns, era, horizon, twins,"
            " twin_ns) VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5, ?6, 0, 0)"
            " ON CONFLICT (name) DO UPDATE SET"
            " version = excluded.version, boot_id = excluded.boot_id,"
            " sessions = gateways.sessions + 1,"
            " last_hello_ns = excluded.last_hello_ns, era = excluded.era,"
            " horizon = excluded.horizon RETURNING id",
            (hello.gateway, hello.version[:64], hello.boot_id[:64], now_ns, self.era, horizon),
        )
        return Greeted(number, again, horizon)

    def note_twin(self, gateway: int, now_ns: int) -> None:
        """Keep the alarm that two boxes come as one gateway."""
        self._db.execute(
            "UPDATE gateways SET twins = twins + 1, twin_ns = ? WHERE id = ?", (now_ns, gateway)
        )

    def find_line(self, key: LineKey) -> Line | None:
        """Give a line, None if nothing of it was ever told."""
        line = self._lines.get(key)
        if line is None:
            row = self._one(
                f"SELECT id, committed, islands, chain, {', '.join(_SAVED)}"  # noqa: S608 - constants
                " FROM lines WHERE gateway = ? AND stream = ? AND epoch = ?",
                key,
            )
            if row is None:
                return None
            line = Line(row[0], key, Coverage.unpack(row[1], row[2]), *row[3:])
            self._lines[key] = line
        return line

    def line(self, key: LineKey) -> Line:
        """Give a line to change, made if need be; `transaction` saves it."""
        line = self.find_line(key)
        if line is None:
            number = self._count(
                f"INSERT INTO lines (gateway, stream, epoch, place, committed, islands, chain,"  # noqa: S608 - constants
                f" {', '.join(_SAVED)}) VALUES (?, ?, ?, ?, 0, ?, ?{', ?' * len(_SAVED)})"
                " RETURNING id",
                (*key, self._place(key), b"", GENESIS, *_saved(Line(0, key, Coverage()))),
            )
            line = self._lines[key] = Line(number, key, Coverage())
        self._dirty[key] = line
        return line

    def _place(self, key: LineKey) -> int:
        """Give the place of a new line: not before one that may have been read already."""
        passed = self._count(
            "SELECT coalesce(max(place), 0) FROM lines WHERE gateway = ? AND stream = ?"
            " AND records > 0",
            key[:2],
        )
        return key.epoch if key.epoch > passed else passed + 1

    def known(self, line: Line, seq: int) -> Known | None:
        """Give what is at a covered position; None if a gap accounts for it."""
        found = self._one(
            "SELECT hash, 0, late FROM records WHERE line = ?1 AND seq = ?2"
            " UNION ALL SELECT hash, 1, late FROM rejections WHERE line = ?1 AND seq = ?2",
            (line.id, seq),
        )
        return None if found is None else Known(found[0], bool(found[1]), bool(found[2]))

    def unoffered(self, gateway: int, stream: int, epoch: int) -> list[Line]:
        """Give the lines of a stream with older epochs than `epoch`: those that are not whole."""
        rows: list[Any] = self._db.execute(
            "SELECT epoch FROM lines WHERE gateway = ? AND stream = ? AND epoch < ?"
            " AND (ended = 0 OR length(islands) > 0 OR committed + 1 < next_seq)",
            (gateway, stream, epoch),
        ).fetchall()
        return [self.line(LineKey(gateway, stream, older)) for (older,) in rows]

    def newest_epoch(self, gateway: int) -> int:
        """Give the youngest epoch that a gateway has a line for, 0 for none."""
        sql = "SELECT coalesce(max(epoch), 0) FROM lines WHERE gateway = ?"
        return self._count(sql, (gateway,))

    def insert(
        self,
        line: Line,
        record: uplink_pb2.Record,
        schema_id: int | None,
        now_ns: int,
        *,
        late: bool,
    ) -> None:
        """Store a record's bytes and, if its position is new, advance the line."""
        self._records.add(
            (
                *(line.id, record.seq, record.kind, record.revision, record.historical),
                *(record.samples, record.thinned, late, record.time_min_ns, record.time_max_ns),
                *(now_ns, record.hash, line.key.gateway, schema_id, record.payload),
            ),
        )
        line.records += 1
        line.late += late
        line.bytes += len(record.payload)
        line.last_ns = now_ns
        if line.coverage.covers(record.seq):
            self._db.execute(
                "DELETE FROM rejections WHERE line = ? AND seq = ?", (line.id, record.seq)
            )
        else:
            self.cover(line, record.seq, record.seq, record.hash)

    def reject(
        self,
        line: Line,
        record: uplink_pb2.Record,
        identity: bytes,
        refusal: tuple[str, str],
        now_ns: int,
        *,
        late: bool,
    ) -> None:
        """Note a record refused for good (`refusal`: code, reason) and account for its position."""
        self._db.execute(
            "INSERT INTO rejections (line, seq, hash, code, reason, samples, late, at_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (line, seq) DO UPDATE"
            " SET code = excluded.code, reason = excluded.reason, at_ns = excluded.at_ns",
            (line.id, record.seq, identity, *refusal, stands_for(record), late, now_ns),
        )
        if not line.coverage.covers(record.seq):
            self.cover(line, record.seq, record.seq, identity)

    def cover(self, line: Line, first: int, last: int, only_hash: bytes | None = None) -> None:
        """Account for `first..last`, and chain on what that made contiguous.

        `only_hash` is that of the single position.
        """
        before = line.coverage.committed
        line.coverage.add(first, last)
        after = line.coverage.committed
        if only_hash is not None and after == before + 1:
            line.chain = extend(line.chain, only_hash)
        elif after > before:
            for (record_hash,) in self._db.execute(
                "SELECT hash FROM"
                " (SELECT seq, hash, late FROM records WHERE line = ?1 AND seq BETWEEN ?2 AND ?3"
                " UNION ALL SELECT seq, hash, late FROM rejections"
                " WHERE line = ?1 AND seq BETWEEN ?2 AND ?3) AS held WHERE late = 0 ORDER BY seq",
                (line.id, before + 1, after),
            ):
                line.chain = extend(line.chain, record_hash)

    def insert_schema(self, gateway: int, schema: SchemaView, payload: bytes) -> bool:
        """Keep a schema and its tags; False if another one has its id."""
        message = schema.message
        kept = self._one(
            "SELECT payload FROM schemas WHERE gateway = ? AND schema_id = ?", (gateway, message.id)
        )
        if kept is not None:
            return bool(batch_pb2.Schema.FromString(kept[0]) == message)
        self._db.execute(
            "INSERT INTO schemas VALUES (?, ?, ?, ?, ?, ?)",
            (gateway, message.id, message.source, message.group, schema.tags, payload),
        )
        self._db.executemany(
            "INSERT INTO tags VALUES (?, ?, ?, ?, ?)",
            (
                (gateway, message.source, tag.name, message.id, column)
                for column, tag in enumerate(message.tags)
            ),
        )
        return True

    def columns(self, gateway: int, schema_id: int) -> int | None:
        """Tell how many columns a schema has; None if it is not known."""
        key = (gateway, schema_id)
        if key not in self._columns:
            row = self._one("SELECT columns FROM schemas WHERE gateway = ? AND schema_id = ?", key)
            if row is None:
                return None
            if len(self._columns) >= 10_000:
                self._columns.clear()
            self._columns[key] = int(row[0])
        return self._columns[key]

    def insert_fork(
        self, line: Line, record: uplink_pb2.Record, identity: bytes, now_ns: int
    ) -> None:
        """Keep the alarm that a position was claimed by a second record."""
        self._db.execute(
            "INSERT INTO forks VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5)"
            " ON CONFLICT (line, seq, hash) DO UPDATE SET times = forks.times + 1,"
            " last_ns = excluded.last_ns",
            (line.id, record.seq, identity, stands_for(record), now_ns),
        )

    def _one(self, sql: str, bindings: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        return self._db.execute(sql, bindings).fetchone()

    def _count(self, sql: str, bindings: tuple[object, ...] = ()) -> int:
        return int((self._one(sql, bindings) or (0,))[0])


def stands_for(record: uplink_pb2.Record) -> int:
    """Count the samples that a record accounts for: those in it and those thinning took.

    Bounded, because nothing else of a refused record was checked.
    """
    return min(record.samples, MAX_SAMPLES) + min(record.thinned, MAX_SAMPLES)


def _values(line: Line) -> tuple[object, ...]:
    """Give the values of `_SAVE`."""
    coverage = line.coverage
    return (coverage.committed, coverage.pack(), line.chain, *_saved(line), line.id)


def _saved(line: Line) -> tuple[int, ...]:
    return tuple(getattr(line, name) for name in _SAVED)
