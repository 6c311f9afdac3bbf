"""The registry: all that the server knows of boxes beside their records.

It is DATA/registry.db, or a schema of the PostgreSQL that DATA names. Owns the connection and the
versions of the tables. Must not know what the tables mean: `identity` has its own, and each other
part brings its own with `prepare`.

Each server has one connection, and so has each command that runs beside it: one of them writes at a
time, with either database. What was committed survives a power cut.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Self, TypeVar

from forebay_fleet.db import place
from forebay_fleet.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from forebay_fleet.db.database import Database

T = TypeVar("T")

FILE = place.REGISTRY
SCHEMA = "forebay_registry"
_CHANGES = "CREATE TABLE IF NOT EXISTS changes (n BIGINT NOT NULL)"
_FIRST = "INSERT INTO changes SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM changes)"


class Registry:
    """An open registry. All calls block; `transaction` is not to be nested."""

    def __init__(self, directory: Path) -> None:
        """Open the registry of a data directory, or make it (directory 0700, file 0600).

        Raises:
            UsageError: DATA/database names no database.
            StoreError: the file is no registry, or of a newer version.
            StoreFailed: the disk refuses it; StoreAway: the database cannot be reached.
        """
        url = place.address(directory)
        self._db = _file(directory) if url is None else _server(url)
        try:
            sql = resources.files("forebay_fleet").joinpath("registry.sql").read_text("utf-8")
            self.prepare("identity", 1, sql)
            self._seen = self._db.version()
        except self._db.errors as error:
            raise self._db.failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def prepare(self, part: str, version: int, sql: str) -> None:
        """See that the tables of `part` are there: run `sql` once, and remember `version`.

        Raises:
            StoreError: they are there in another version.
        """
        with self.transaction() as db:
            db.script(
                "CREATE TABLE IF NOT EXISTS parts"
                " (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID"
            )
            found = db.execute("SELECT version FROM parts WHERE name = ?", (part,)).fetchone()
            if found is None:
                db.script(sql)
                db.execute("INSERT INTO parts VALUES (?, ?)", (part, version))
            elif found[0] != version:
                raise StoreError(
                    f"the registry has {part} in version {found[0]}, this server knows {version}",
                    hint="use the server that made it, or a newer one",
                )

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Commit what the block does, durably, or nothing of it.

        Raises:
            StoreFailed: the disk refused it, or another process wrote for too long.
            StoreAway: the database cannot be reached. It may have committed all the same.
        """
        with self.reading() as db, db.transaction():
            yield db

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Give the connection to read with. Raises StoreFailed."""
        try:
            yield self._db
        except self._db.errors as error:
            raise self._db.failed(error) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read. Raises StoreFailed."""
        with self.reading() as db:
            return db.execute(sql, values).fetchall()

    def changed(self) -> bool:
        """Whether another process committed anything since the last time this was asked."""
        with self.reading() as db:
            version = db.version()
        before, self._seen = self._seen, version
        return version != before

    def fact(self, name: str) -> str | None:
        """Give what the server last said of itself under `name`."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else None

    def tell(self, name: str, value: str) -> None:
        """Note what this server is: see `fact`."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO facts VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )


def there(directory: Path) -> bool:
    """Whether a data directory has a registry, or names a database for it. Raises as `address`."""
    return (directory / FILE).exists() or place.address(directory) is not None


def _file(directory: Path) -> Database:
    import apsw

    from forebay_fleet.db import sqlite

    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return sqlite.open_file(path)
    except apsw.NotADBError:
        raise StoreError(f"{path} is no registry", hint="choose another --data") from None
    except (apsw.Error, OSError) as error:
        raise sqlite.failed(error) from error


def _server(url: str) -> Database:
    place.need_driver()
    from forebay_fleet.db import postgres

    db = postgres.PostgresDatabase(url, postgres.Use(SCHEMA, serial=True, returns=True))
    try:
        with db.preparing():
            postgres.made(db, SCHEMA)
            db.plain(f"{_CHANGES}; {_FIRST}")
    except db.errors as error:
        raise db.failed(error) from error
    return db


class RegistryThread:
    """The server's one connection, on a thread of its own: an event loop must not wait for a disk.

    `async with RegistryThread(data) as registry: await registry(lambda r: r.rows(...))`. Calls run
    one after the other, in the order of asking; how many may wait is bounded by those who ask.
    """

    def __init__(self, directory: Path) -> None:
        """Open the registry. Raises as `Registry`."""
        self.directory = directory
        """The data directory."""
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
