"""Finds the secrets of this box: in its configuration, environment, identity and credentials.

Owns where secrets rest, so that a bundle can be searched for them. Must not know what becomes of
what it finds. All of it blocks.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import IdentityUnusable
from forebay.identity import current
from forebay.management.redaction import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from forebay.files import Disk

MAX_FILE_BYTES, MAX_FILES, MAX_PATH = 64 << 10, 1_000, 4_096
NAMED = frozenset({"devices", "uplinks", "plugins"})
"""Tables whose keys are names that a person gave, which say nothing of what is below."""
SETTINGS = "settings"
_RANDOM = re.compile(r"^(?=.*\d)\S{8,}$|^\S{16,}$|://")
"""A text with more in it than a word."""
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what LoadCredential= names (systemd.exec(5))."""


def of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Give the values of variables that are called like secrets, and credentials of systemd."""
    for name, value in environ.items():
        if is_secret_name(name):
            yield from _lines(value)
    folder = environ.get(CREDENTIALS)
    if folder:
        for path in _files(Path(folder)):
            yield from of_file(path)


def of_identity(state: Path, disk: Disk) -> Iterator[str]:
    """Give the private keys that make this box itself."""
    try:
        identity = current(state, disk)
    except IdentityUnusable:
        return
    if identity is not None:
        yield from _lines(identity.key.decode(errors="replace"))
        yield from _lines(identity.bound_key.decode(errors="replace"))


def of_tables(tables: Mapping[str, Any], base: Path) -> Iterator[str]:
    """Give what configuration tables say under a secret's name, and in the files named there.

    So too what looks like one in the settings that are a plugin's own, whatever its name is there.
    """
    for kind, table in tables.items():
        named = kind in NAMED and isinstance(table, dict)
        trees = [("", one) for one in table.values()] if named else [(kind, table)]
        for name, text in chain.from_iterable(_texts(tree, name) for name, tree in trees):
            if is_secret_name(name):
                yield from of_file(base / text) if names_file(text, base) else _lines(text)
            elif name.startswith(f"{SETTINGS}.") and _RANDOM.search(text):
                yield from _lines(text)


def names_file(text: object, base: Path) -> bool:
    """Whether a value is the path of a file, and so no secret itself."""
    fits = isinstance(text, str) and 0 < len(text) < MAX_PATH and "\0" not in text
    return fits and _is_file(base / str(text))


def of_file(path: Path) -> Iterator[str]:
    """Give a small file's text, and each of its lines; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return
    if len(data) <= MAX_FILE_BYTES:
        yield from _lines(data.decode(errors="replace"))


def _lines(text: str) -> Iterator[str]:
    """Give a text as it is and trimmed, and its lines but those that frame a PEM block."""
    yield from (text, text.strip())
    if "\n" in text:
        for line in map(str.strip, text.splitlines()):
            if not line.startswith("-----"):
                yield line


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - TOML
    """Give each text and number of a tree with the name of its nearest key."""
    match value:
        case dict():
            for key, one in value.items():
                # What is below a table called "auth" is a secret too, however it is called.
                below = name.startswith(SETTINGS) or is_secret_name(name)
                yield from _texts(one, f"{name}.{key}" if below else str(key))
        case list():
            for one in value:
                yield from _texts(one, name)
        case str():
            yield name, value
        case int() | float() if not isinstance(value, bool):
            yield name, str(value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _files(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in sorted(folder.iterdir())[:MAX_FILES] if _is_file(path)]
    except OSError:
        return []
