"""Whether a slot is whole: its files against the list that was made when it was filled.

    whole.json            version, interpreter, and the SHA-256 of each file; written last
    pyvenv.cfg, bin/python, lib/pythonX.Y/site-packages/: an environment as `venv` makes it

The list finds damage, and a slot that was never filled to its end. It is no signature. What Python
compiled stands in a list of its own: it is made again, so what became another is let go of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = "whole.json"
FILES, COMPILED = "files", "compiled"
"""The two lists in it."""
CACHE = "__pycache__"
MAX_BYTES = 64 << 20
_PIECE = 1 << 20


class Damaged(Exception):
    """A slot that must not run; its text says why."""


def digests(folder: Path) -> dict[str, str]:
    """Give the SHA-256 in hex of each file under `folder`, by its path within.

    Links are left out, and what Python compiled. Raises OSError.
    """
    found: dict[str, str] = {}
    for base, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = [name for name in folders if name != CACHE]
        for name in names:
            path = os.path.join(base, name)  # noqa: PTH118 - thousands of files, at each start
            if not os.path.islink(path):  # noqa: PTH114 - the same
                found[os.path.relpath(path, folder)] = _digest(path)
    found.pop(WHOLE, None)
    return found


def compiled(folder: Path) -> dict[str, str]:
    """Give the SHA-256 in hex of each file that Python compiled, as `digests`. Raises OSError."""
    return {
        os.path.relpath(path, folder): _digest(path)
        for base, _, names in os.walk(folder, onerror=_raised)
        if os.path.basename(base) == CACHE  # noqa: PTH119 - as above
        for path in (os.path.join(base, name) for name in names)  # noqa: PTH118 - as above
    }


def _raised(error: OSError) -> None:
    raise error


def check(folder: Path) -> str:
    """Give the version in the slot `folder`.

    What Python compiled from its files does not count.

    Raises:
        Damaged: a file is missing, other than it was, or more than there was; or nothing is there.
    """
    try:
        with (folder / WHOLE).open("rb") as file:
            told = json.loads(file.read(MAX_BYTES))
        version, files = str(told["version"]), dict(told["files"])
        there = digests(folder)
        if not (folder / "bin/python").exists():
            raise Damaged(f"{folder}: its interpreter is gone")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{folder} is not whole: {error}") from error
    if there != files:
        names = sorted(name for name in {*there, *files} if there.get(name) != files.get(name))
        raise Damaged(f"{folder} is damaged: {len(names)} files, the first is {names[0]}")
    return version


def drop_compiled(folder: Path) -> None:
    """Remove what Python compiled where it is other, or more, than when the slot was filled.

    Python would run it without a look at what it was made of. A slot without such a list keeps all.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with (folder / WHOLE).open("rb") as file:
            told = dict(json.loads(file.read(MAX_BYTES))[COMPILED])
        for name, digest in compiled(folder).items():
            if told.get(name) != digest:
                (folder / name).unlink()


def archive(folder: Path) -> str:
    """Give the SHA-256 in hex of what the slot `folder` was filled with; "" if that is unknown."""
    try:
        with (folder / WHOLE).open("rb") as file:
            return str(json.loads(file.read(MAX_BYTES))["archive"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _digest(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return hashlib.file_digest(file, "sha256").hexdigest()
