"""Opening the store: one owner, a sound SQLite, an identity that notices a restored backup.

Must not know what the tables hold.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import apsw

from forebay_fleet.errors import StoreError, StoreFailed, StoreLocked

if TYPE_CHECKING:
    from pathlib import Path

FILE = "fleet.db"
VERSION = 3
PAGE_BYTES = 8192
CHECKPOINT_PAGES = 2048
"""16 MiB of WAL between checkpoints."""


def lock(directory: Path) -> int:
    """Make `directory` (mode 0700) and take it; the descriptor holds the lock until it is closed.

    Raises:
        StoreLocked: another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLocked(
            f"{directory} is in use by another server", hint="stop it, or choose another --data"
        ) from None
    return descriptor


def connect(directory: Path) -> apsw.Connection:
    """Open the writer's connection: WAL with FULL, so that a commit survives a power cut.

    Raises:
        StoreError: the file is no store, or one of a newer version.
        StoreFailed: the disk refuses it.
    """
    try:
        connection = apsw.Connection(str(directory / FILE))
        connection.set_busy_timeout(10_000)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA trusted_schema = OFF")
        _prepare(connection)
    except apsw.NotADBError:
        raise StoreError(f"{directory / FILE} is no store", hint="choose another --data") from None
    except apsw.Error as error:
        raise failed(error) from error
    return connection


def failed(error: apsw.Error | OSError) -> StoreFailed:
    """Turn an error of SQLite or of the file system into ours."""
    return StoreFailed(f"the store failed: {error}", hint="check the disk and its free space")


def identify(connection: apsw.Connection, directory: Path) -> tuple[str, int]:
    """Give the store's incarnation, a new one if the store is new or older than the last start.

    With it the era: how often this store was found to be restored.

    The number of starts is kept both in the database and in a file beside it; a database restored
    from a backup has fewer than the file says. (After a crash between the two writes the database
    has one more, which means nothing.)

    Raises:
        StoreFailed: the disk refuses it.
    """
    try:
        with connection:
            kept: dict[str, Any] = dict(
                cast("Any", connection.execute("SELECT key, value FROM meta").fetchall())
            )
            starts = int(kept.get("starts", 0))
            incarnation = str(kept.get("incarnation", ""))
            seen = _witness(directory)
            restored = seen is not None and (seen[0] != incarnation or seen[1] > starts)
            if not incarnation or restored:
                incarnation = secrets.token_hex(16)
            era = int(kept.get("era", 0)) + restored
            _keep(connection, "era", str(era))
            _keep(connection, "incarnation", incarnation)
            _keep(connection, "starts", str(starts + 1))
        _testify(directory, incarnation, starts + 1)
    except (apsw.Error, OSError) as error:
        raise failed(error) from error
    return incarnation, era


def _prepare(connection: apsw.Connection) -> None:
    version = connection.pragma("user_version")
    if version == VERSION:
        return
    if version != 0:
        raise StoreError(
            f"the store has version {version}, this server knows {VERSION}",
            hint="use the server that made it, or a newer one",
        )
    sql = resources.files("forebay_fleet.store").joinpath("schema.sql").read_text("utf-8")
    with connection:
        connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _keep(connection: apsw.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (key, value),
    )


def _witness(directory: Path) -> tuple[str, int] | None:
    """Read the file beside the database; None if it is missing or torn."""
    try:
        seen = json.loads((directory / "starts.json").read_text("utf-8"))
        return str(seen["incarnation"]), int(seen["starts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _testify(directory: Path, incarnation: str, starts: int) -> None:
    """Replace the file beside the database, and make it and the directory's entries durable."""
    temporary = directory / "starts.json.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"incarnation": incarnation, "starts": starts}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / "starts.json")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
