"""The registry: DATA/registry.db, all that the server knows of boxes beside their records.

Owns the file, its connection and the versions of the tables in it. Must not know what the tables
mean: `identity` has its own, and each other part brings its own with `prepare`.

The server has one connection, and so has each command that runs beside it: SQLite lets one of them
write at a time. WAL with FULL: what was committed survives a power cut.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Self, TypeVar

import apsw

from forebay_fleet.errors import StoreError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

FILE = "registry.db"
BUSY_MS = 10_000
"""How long a change waits for that of another process."""


class Registry:
    """An open registry. All calls block; `transaction` is not to be nested."""

    def __init__(self, directory: Path) -> None:
        """Open the registry of a data directory, or make it (directory 0700, file 0600).

        Raises:
            StoreError: the file is no registry, or of a newer version.
            StoreFailed: the disk refuses it.
        """
        path = directory / FILE
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(BUSY_MS)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF"):
                self._db.execute(f"PRAGMA {pragma}")
            sql = resources.files("forebay_fleet").joinpath("registry.sql").read_text("utf-8")
            self.prepare("identity", 1, sql)
            self._seen = self._db.pragma("data_version")
        except apsw.NotADBError:
            raise StoreError(f"{path} is no registry", hint="choose another --data") from None
        except (apsw.Error, OSError) as error:
            raise StoreFailed(f"the registry failed: {error}", hint="check the disk") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def prepare(self, part: str, version: int, sql: str) -> None:
        """See that the tables of `part` are there: run `sql` once, and remember `version`.

        Raises:
            StoreError: they are there in another version.
        """
        with self.transaction() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS parts"
                " (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID"
            )
            found = db.execute("SELECT version FROM parts WHERE name = ?", (part,)).fetchone()
            if found is None:
                db.execute(sql)
                db.execute("INSERT INTO parts VALUES (?, ?)", (part, version))
            elif found[0] != version:
                raise StoreError(
                    f"the registry has {part} in version {found[0]}, this server knows {version}",
                    hint="use the server that made it, or a newer one",
                )

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Commit what the block does, durably, or nothing of it.

        Raises:
            StoreFailed: the disk refused it, or another process wrote for longer than BUSY_MS.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise StoreFailed(f"the registry failed: {error}", hint="check the disk") from error

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Give the connection to read with. Raises StoreFailed."""
        try:
            yield self._db
        except apsw.Error as error:
            raise StoreFailed(f"the registry failed: {error}", hint="check the disk") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read. Raises StoreFailed."""
        with self.reading() as db:
            return list(db.execute(sql, tuple(values)))

    def changed(self) -> bool:
        """Whether another process committed anything since the last time this was asked."""
        version = self._db.pragma("data_version")
        before, self._seen = self._seen, version
        return bool(version != before)

    def fact(self, name: str) -> str | None:
        """Give what the server last said of itself under `name`."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else None

    def tell(self, name: str, value: str) -> None:
        """Note what this server is: see `fact`."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


class RegistryThread:
    """The server's one connection, on a thread of its own: an event loop must not wait for a disk.

    `async with RegistryThread(data) as registry: await registry(lambda r: r.rows(...))`. Calls run
    one after the other, in the order of asking; how many may wait is bounded by those who ask.
    """

    def __init__(self, directory: Path) -> None:
        """Open the registry. Raises as `Registry`."""
        self._registry = Registry(directory)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do what waits, then close."""
        await asyncio.to_thread(self._thread.shutdown)
        self._registry.close()

    async def __call__(self, work: Callable[[Registry], T]) -> T:
        """Give what `work` gives. It runs to its end even if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, self._registry)
