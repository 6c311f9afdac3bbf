"""The last values of boxes, as they told them: DATA/shadows.db, or a schema of PostgreSQL.

Owns that file, which holds nothing that a box would not tell again: it is not flushed for it, and a
damaged one is replaced. Must not know gRPC, nor what a person is shown.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Self

import structlog

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.db import place
from forebay_fleet.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from forebay_fleet.db.database import Database

FILE, SCHEMA = "shadows.db", "forebay_shadows"
MAX_AT_ONCE, MAX_VALUES = 2_000, 100_000
"""Values in one report, and of one gateway."""
MAX_NAME, MAX_TEXT_BYTES, MAX_UNIT = 256, 256, 64
HINT = "remove it: boxes tell all of it again"

_log = structlog.get_logger()
_UPSERT = (
    "INSERT INTO shadows VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (gateway, device, tag) DO UPDATE SET turn = excluded.turn, value = excluded.value"
)


class Shadows:
    """Of one server. `async with`; what the disk refuses is missing, and told once in the log."""

    def __init__(self, directory: Path) -> None:
        """Touch nothing yet."""
        self._directory = directory
        self._db: Database | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadows")
        self._told = False

    async def __aenter__(self) -> Self:
        await self._on_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do what waits, then close."""
        await self._on_thread(self._close)
        await asyncio.to_thread(self._thread.shutdown)

    async def note(self, gateway: str, turn: int, report: fleet_pb2.ShadowReport) -> None:
        """Keep what a box told; at the end of a full report, forget what it did not tell."""
        rows = [
            (gateway, one.device, one.tag, turn, one.SerializeToString())
            for one in report.values[:MAX_AT_ONCE]
            if _sound(one)
        ]
        await self._on_thread(partial(self._note, gateway, turn, rows, complete=report.complete))

    async def _on_thread(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, work)
        except StoreFailed as error:
            if not self._told:
                self._told = True
                _log.error("shadows_failed", error=str(error), hint=error.hint)
        else:
            self._told = False

    def _open(self) -> None:
        self._db = _opened(self._directory)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _note(
        self, gateway: str, turn: int, rows: Sequence[tuple[object, ...]], *, complete: bool
    ) -> None:
        if self._db is None:
            self._open()
        assert self._db is not None
        with _ours(self._db) as db, db.transaction():
            db.executemany(_UPSERT, rows)
            if complete:
                db.execute("DELETE FROM shadows WHERE gateway = ? AND turn <> ?", (gateway, turn))
            over = _count(db, gateway) - MAX_VALUES
            if over > 0:
                db.execute(
                    "DELETE FROM shadows WHERE (gateway, device, tag) IN (SELECT gateway, device,"
                    " tag FROM shadows WHERE gateway = ? ORDER BY turn LIMIT ?)",
                    (gateway, over),
                )


class Shadowing:
    """What one box tells of its values on one stream: a `parts.Part`."""

    def __init__(self, shadows: Shadows, gateway: str) -> None:
        """Know nothing of it yet."""
        self._shadows, self._gateway = shadows, gateway
        self._turn = time.time_ns()

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """See `Part.take`."""
        if message.HasField("shadow"):
            if message.shadow.full:
                self._turn = max(self._turn + 1, time.time_ns())
            await self._shadows.note(self._gateway, self._turn, message.shadow)

    async def answer(self, _answer: fleet_pb2.ServerToAgent) -> bool:
        """See `Part.answer`: nothing."""
        return False


def values(directory: Path, gateway: str, pattern: str) -> Iterator[fleet_pb2.ShadowValue]:
    """Give the values of a gateway whose DEVICE/TAG fits `pattern` (`*`, `?`), in that order.

    Nothing if there are none. Raises StoreFailed for what cannot be read.
    """
    fits = re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
    if place.address(directory) is None and not (directory / FILE).exists():
        return
    with closing(_opened(directory, replace=False)) as opened, _ours(opened) as db:
        sql = "SELECT device, tag, value FROM shadows WHERE gateway = ? ORDER BY device, tag"
        for device, tag, value in db.walk(sql, (gateway,)):
            if fits(f"{device}/{tag}"):
                yield fleet_pb2.ShadowValue.FromString(value)


@contextmanager
def _ours(db: Database) -> Iterator[Database]:
    """Make errors of the database ours."""
    try:
        yield db
    except db.errors as error:
        raise db.failed(error) from error


def _opened(directory: Path, *, replace: bool = True) -> Database:
    """Open the database; `replace`: in place of a damaged file. Raises StoreFailed."""
    url = place.address(directory)
    sql = resources.files("forebay_fleet.desired").joinpath("shadows.sql").read_text("utf-8")
    if url is not None:
        return _server(url, sql)
    import apsw

    path = directory / FILE
    try:
        try:
            return _file(path, sql)
        except (apsw.NotADBError, apsw.CorruptError):
            if not replace:
                raise
            for end in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(FILE + end).unlink()
            return _file(path, sql)
    except (apsw.Error, OSError) as error:
        hint = "check the disk under --data" if replace else HINT
        raise StoreFailed(f"{FILE} cannot be used: {error}", hint=hint) from error


def _file(path: Path, sql: str) -> Database:
    from forebay_fleet.db import sqlite

    db = sqlite.open_file(path, ("journal_mode = WAL", "synchronous = NORMAL"))
    db.script(sql)
    return db


def _server(url: str, sql: str) -> Database:
    place.need_driver()
    from forebay_fleet.db import postgres

    db = postgres.PostgresDatabase(url, postgres.Use(SCHEMA, returns=True, flushes=False))
    with _ours(db), db.preparing():
        postgres.made(db, SCHEMA)
        db.script(sql)
    return db


def _count(db: Database, gateway: str) -> int:
    found = db.execute("SELECT count(*) FROM shadows WHERE gateway = ?", (gateway,)).fetchone()
    return int(found[0]) if found else 0


def _sound(one: fleet_pb2.ShadowValue) -> bool:
    return (
        0 < len(one.device) <= MAX_NAME
        and 0 < len(one.tag) <= MAX_NAME
        and len(one.unit) <= MAX_UNIT
        and len(one.string_value.encode()) <= MAX_TEXT_BYTES
    )
