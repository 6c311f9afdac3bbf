"""A database in a file, by apsw.

Owns what is special about SQLite. Must not know any table.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import apsw

from forebay_fleet.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from forebay_fleet.db.database import Cursor, Row

BUSY_MS = 10_000
"""How long a change waits for that of another process."""
FULL = ("journal_mode = WAL", "synchronous = FULL")
"""What was committed survives a power cut."""


class SqliteDatabase:
    """See `Database`."""

    errors: tuple[type[Exception], ...] = (apsw.Error,)

    def __init__(self, connection: apsw.Connection) -> None:
        """Work on a connection that `open_file` gave."""
        self.connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        """See `Database`."""
        return cast("Cursor", self.connection.execute(sql, tuple(values)))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """See `Database`."""
        self.connection.executemany(sql, (tuple(row) for row in rows))

    def script(self, sql: str) -> None:
        """See `Database`."""
        self.connection.execute(sql)

    def walk(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """See `Database`."""
        yield from self.execute(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`: one process at a time."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def preparing(self) -> AbstractContextManager[None]:
        """See `Database`: who writes to a file is alone, or each change is a transaction."""
        return nullcontext()

    def snapshot(self) -> None:
        """See `Database`."""
        self.connection.execute("BEGIN")

    def release(self) -> None:
        """See `Database`."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def version(self) -> int:
        """See `Database`."""
        return int(self.connection.pragma("data_version"))

    def failed(self, error: Exception) -> StoreFailed:
        """See `Database`."""
        return failed(error)

    def close(self) -> None:
        """See `Database`."""
        self.connection.close()


def failed(error: Exception) -> StoreFailed:
    """Turn an error of SQLite or of the file system into ours."""
    return StoreFailed(f"the store failed: {error}", hint="check the disk and its free space")


def open_file(
    path: Path, pragmas: Sequence[str] = FULL, flags: int | None = None
) -> SqliteDatabase:
    """Open a file, or make it (mode 0600). Raises apsw.Error, OSError."""
    if flags is None:
        path.touch(mode=0o600)
        connection = apsw.Connection(str(path))
    else:
        connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    for pragma in (*pragmas, "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return SqliteDatabase(connection)
