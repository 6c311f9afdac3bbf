"""Opening the store for its writer and its readers.

The store is DATA/fleet.db, or a schema of the PostgreSQL that DATA names: there several may own a
part of it each. Must not know what the tables hold, but `meta`.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from forebay_fleet.db import place
from forebay_fleet.errors import StoreError, UsageError
from forebay_fleet.store.owning import keep

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.db.database import Database
    from forebay_fleet.store.records import Records

FILE = place.SQLITE
SCHEMA = "forebay_store"
VERSION = 3
MOST_PARTS = 16
PAGE_BYTES = 8192
CHECKPOINT_PAGES = 2048
"""16 MiB of WAL between checkpoints."""


def connect(directory: Path, part: int | None) -> tuple[Database, Records]:
    """Open the writer's connection, so that a commit survives a power cut.

    Raises:
        UsageError: DATA/database names no database; a part of SQLite.
        StoreLocked: another process has the part, or the whole.
        StoreError: the file is no store, or one of a newer version.
        StoreFailed: the disk refuses it; StoreAway: the database cannot be reached.
    """
    url = place.address(directory)
    if url is not None:
        return _server(url, part)
    if part is not None:
        raise UsageError("SQLite has one writer", hint="name a PostgreSQL: --database")
    import apsw

    from forebay_fleet.db import sqlite
    from forebay_fleet.store.records import OneByOne

    pragmas = (
        f"page_size = {PAGE_BYTES}",
        *sqlite.FULL,
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "journal_size_limit = 67108864",
    )
    try:
        db = sqlite.open_file(directory / FILE, pragmas)
        version = int(db.connection.pragma("user_version"))
        if version:
            _check(version)
        else:
            with db.transaction():
                db.script(f"{_sql('schema.sql')}{_sql('records.sql')}")
                db.script(f"PRAGMA user_version = {VERSION}")
        db.script(_sql("records_long.sql"))
    except apsw.NotADBError:
        raise StoreError(f"{directory / FILE} is no store", hint="choose another --data") from None
    except (apsw.Error, OSError) as error:
        raise sqlite.failed(error) from error
    return db, OneByOne(db)


def _server(url: str, part: int | None) -> tuple[Database, Records]:
    place.need_driver()
    from forebay_fleet.db import postgres
    from forebay_fleet.store.records import ByDay, make_indexes

    db = postgres.PostgresDatabase(url, postgres.Use(SCHEMA))
    try:
        if part is None:
            postgres.own_whole(db, place.shown(url))
        else:
            postgres.own_part(db, part, place.shown(url))
        with db.preparing():
            postgres.made(db, SCHEMA)
            version = version_of(db)
            if version is not None:
                _check(version)
            else:
                with db.transaction():
                    db.script(_sql("schema.sql"))
                    db.plain(_sql("records_postgres.sql"))
                    make_indexes(db, "records_astray")
                    keep(db, "version", str(VERSION))
    except db.errors as error:
        db.close()
        raise db.failed(error) from error
    except BaseException:
        db.close()
        raise
    return db, ByDay(db)


def open_reader(directory: Path) -> Database:
    """Open a connection that only reads.

    Raises:
        StoreError: there is no store, or one of another version; it cannot be read.
    """
    url = place.address(directory)
    if url is not None:
        return _server_reader(url)
    import apsw

    from forebay_fleet.db import sqlite

    path = directory / FILE
    if not path.is_file():
        raise StoreError(f"no store in {directory}", hint="name the --data of the server")
    try:
        # Not read-only: without a server there is no shared memory of the WAL, and SQLite has to
        # make it.
        db = sqlite.open_file(path, ("query_only = ON",), apsw.SQLITE_OPEN_READWRITE)
        db.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        version = int(db.connection.pragma("user_version"))
    except (apsw.Error, OSError) as error:
        raise _unreadable(error) from error
    _check(version)
    return db


def _server_reader(url: str) -> Database:
    place.need_driver()
    from forebay_fleet.db import postgres

    db = postgres.PostgresDatabase(url, postgres.Use(SCHEMA, returns=True, reads=True))
    try:
        version = version_of(db)
    except db.errors as error:
        db.close()
        raise _unreadable(error) from error
    if version is None:
        db.close()
        raise StoreError(f"no store in {place.shown(url)}", hint="start the server first")
    _check(version)
    return db


def version_of(db: Database) -> int | None:
    """Give the version of the tables in PostgreSQL, None if there are none."""
    if db.execute("SELECT to_regclass('meta')").fetchone() == (None,):
        return None
    row = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    return None if row is None else int(row[0])


def _check(version: int) -> None:
    if version != VERSION:
        raise StoreError(
            f"the store has version {version}, this program knows {VERSION}",
            hint="use the version that made it, or a newer one",
        )


def _unreadable(error: Exception) -> StoreError:
    return StoreError(f"the store cannot be read: {error}", hint="check who owns the files")


def _sql(name: str) -> str:
    return resources.files("forebay_fleet.store").joinpath(name).read_text("utf-8")
