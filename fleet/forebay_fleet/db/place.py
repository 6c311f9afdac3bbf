"""Where the tables of a server are: in its data directory, or in a PostgreSQL that it names.

Owns DATA/database, one line: the address of PostgreSQL. `serve` writes it, so that every command
beside it finds the same tables. It may hold a password: mode 0600, and nothing of it is ever shown
but what `shown` gives. Must not know any table.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from forebay_fleet.errors import StoreFailed, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "database"
SQLITE, REGISTRY = "fleet.db", "registry.db"
MAX_CHARACTERS = 2_000
SCHEMES = ("postgresql", "postgres")


def address(directory: Path) -> str | None:
    """Give the address of PostgreSQL, None for SQLite in the directory.

    Raises:
        UsageError: the file holds no such address.
        StoreFailed: it cannot be read.
    """
    path = directory / FILE
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreFailed(f"{path} cannot be read", hint="check who owns the file") from error
    return checked(text.strip(), str(path))


def checked(text: str, origin: str) -> str:
    """Give an address that has the form of one. UsageError, which names `origin` alone, else."""
    try:
        sound = urlsplit(text).scheme in SCHEMES
    except ValueError:
        sound = False
    if not sound or len(text) > MAX_CHARACTERS or not text.isprintable() or " " in text:
        raise UsageError(
            f"{origin} is no address of a database",
            hint="write postgresql://USER@HOST/NAME, as libpq has it",
        )
    return text


def remember(directory: Path, text: str) -> None:
    """Keep an address for the commands beside the server.

    Raises:
        UsageError: it is none.
        StoreFailed: the disk refuses it.
    """
    text = checked(text, "--database")
    try:
        if address(directory) == text:
            return
    except UsageError:
        pass  # whatever it was, it is replaced
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = directory / f"{FILE}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(directory / FILE)
    except OSError as error:
        raise StoreFailed(
            f"{directory / FILE} cannot be written: {error.strerror}", hint="check --data"
        ) from error


def move(directory: Path, text: str) -> None:
    """As `remember`, for a directory that has no tables of its own.

    Raises:
        UsageError: it has, and they would be forgotten; or it is no address.
        StoreFailed: the disk refuses it.
    """
    if (directory / FILE).exists():
        remember(directory, text)
        return
    for name in (SQLITE, REGISTRY):
        if (directory / name).exists():
            raise UsageError(
                f"{directory} has {name} of SQLite, which would be forgotten",
                hint="choose another --data, with the keys of this one",
            )
    remember(directory, text)


def shown(text: str) -> str:
    """Give what of an address may be shown: host, port and name."""
    parts = urlsplit(text)
    return f"{parts.netloc.rpartition('@')[2] or 'local'}{parts.path}"


def need_driver() -> None:
    """Raise UsageError if the library that speaks to PostgreSQL is not installed."""
    if find_spec("psycopg") is None:
        raise UsageError(
            "PostgreSQL needs a library that is not installed", hint="pip install 'forebay[scale]'"
        )
