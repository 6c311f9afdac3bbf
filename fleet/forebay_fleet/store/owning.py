"""Whose the store is, and which store: one owner a directory, an identity that notices a backup.

Owns DATA/lock, DATA/starts.json and what `meta` says of the store itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from typing import TYPE_CHECKING

from forebay_fleet.errors import StoreError, StoreFailed, StoreLocked

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.db.database import Database


def lock(directory: Path) -> int:
    """Make `directory` (mode 0700) and take it; the descriptor holds the lock until it is closed.

    Raises:
        StoreLocked: another process has it.
        StoreError: it cannot be made, or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{directory} cannot be used: {error.strerror}",
            hint="choose another --data, which this user may write to",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLocked(
            f"{directory} is in use by another server", hint="stop it, or choose another --data"
        ) from None
    return descriptor


def identify(db: Database, directory: Path) -> tuple[str, int]:
    """Give the store's incarnation, a new one if the store is new or older than the last start.

    With it the era: how often this store was found to be restored.

    The number of starts is kept both in the database and in a file beside it; a database restored
    from a backup has fewer than the file says. (After a crash between the two writes the database
    has one more, which means nothing.) Each of several servers has such a file: what one of them
    has noticed, the next ones find noted as `ended`.

    Raises:
        StoreFailed: the disk refuses it.
    """
    try:
        with db.preparing():
            with db.transaction():
                kept: dict[str, str] = dict(db.execute("SELECT key, value FROM meta").fetchall())
                starts = int(kept.get("starts", 0))
                incarnation = kept.get("incarnation", "")
                seen = _witness(directory)
                restored = seen is not None and (
                    seen[1] > starts if seen[0] == incarnation else f"ended {seen[0]}" not in kept
                )
                era = int(kept.get("era", 0)) + restored
                if restored and incarnation:
                    keep(db, f"ended {incarnation}", str(starts))
                if not incarnation or restored:
                    incarnation = secrets.token_hex(16)
                keep(db, "era", str(era))
                keep(db, "incarnation", incarnation)
                keep(db, "starts", str(starts + 1))
            _testify(directory, incarnation, starts + 1)
    except db.errors as error:
        raise db.failed(error) from error
    except OSError as error:
        raise StoreFailed(
            f"the store failed: {error}", hint="check the disk under --data"
        ) from error
    return incarnation, era


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


def keep(db: Database, key: str, value: str) -> None:
    """Write a line of `meta`."""
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
