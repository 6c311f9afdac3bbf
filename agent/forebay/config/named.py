"""Files that settings name: made absolute, and checked to be there for us and not for everybody.

Owns that check. Must not know what the files mean.

Every field of type `Path` in an adapter's settings names a file that must exist before the start,
unless it is a `settings.Directory`, which is made where it is missing; relative paths begin at the
main configuration file. A file that holds a private key or a password must not be readable by every
user of the machine. What is not enabled may name files that are still to come.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from forebay.config.faults import dotted, printable
from forebay.config.sources import read_bytes, unreadable
from forebay.errors import Fault
from forebay.settings import IsDirectory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from forebay.config.faults import Where

_Model = TypeVar("_Model", bound=BaseModel)

MAX_NAMED_BYTES = 1 << 20
"""Certificates, keys and passwords are small; what is larger is something else."""
_SECRET_FIELDS = ("key", "password", "secret", "token")
_PEM_KEY = b"PRIVATE KEY-----"


def rooted(
    settings: _Model,
    base: Path,
    where: Where,
    faults: list[Fault],
    skip: Collection[str] = (),
    *,
    state: Path | None = None,
) -> _Model:
    """Give `settings` with every path absolute; what is wrong with the files goes to `faults`.

    `where` is the place of `settings`. Paths marked `in_state` begin at `state`, all others at
    `base`.
    Fields named in `skip` are made absolute but not looked at: another part reads them.
    """
    changed: dict[str, object] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            changed[name] = rooted(value, base, (*where, name), faults)
            continue
        paths = _paths(value)
        if not paths:
            continue
        marks = [mark for mark in field.metadata if isinstance(mark, IsDirectory)]
        root = state if state is not None and any(mark.in_state for mark in marks) else base
        changed[name] = root / value if isinstance(value, Path) else tuple(root / p for p in paths)
        place = dotted((*where, name))
        for path in () if name in skip else paths:
            if marks:
                faults.extend(check_directory(root / path, path, place))
            else:
                faults.extend(_check(root / path, printable(str(path)), name, place))
    return settings.model_copy(update=changed) if changed else settings


def digests(settings: BaseModel) -> Iterator[tuple[Path, str]]:
    """Give the SHA-256, in hex, of each file that `settings` name, whose paths are absolute.

    What is too large to be a certificate or a password, or cannot be read, is left out.
    """
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from digests(value)
        elif not any(isinstance(mark, IsDirectory) for mark in field.metadata):
            for path in _paths(value):
                data = read_bytes(path, name, MAX_NAMED_BYTES)
                if isinstance(data, bytes):
                    yield path, hashlib.sha256(data).hexdigest()


def check_directory(path: Path, written: Path, place: str) -> list[Fault]:
    """Find what keeps `path` from being, or becoming, a directory, as far as this user can see.

    `written` is the path as the file has it.
    """
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return []
        message = "is not a directory"
    except (FileNotFoundError, PermissionError):
        return []
    except NotADirectoryError:
        message = "lies below something that is not a directory"
    except (OSError, ValueError) as error:
        return [unreadable(error, place)]
    hint = "name another path, or move away what is there"
    return [Fault(place, f"{printable(str(written))} {message}", hint)]


def _paths(value: object) -> tuple[Path, ...]:
    """Give the paths of a field: its value, or the members of a tuple."""
    members = value if isinstance(value, tuple) else (value,)
    return tuple(member for member in members if isinstance(member, Path))


def _check(path: Path, written: str, field: str, place: str) -> list[Fault]:
    data = read_bytes(path, place, MAX_NAMED_BYTES)
    if isinstance(data, Fault):
        return [Fault(place, f"{written} {data.message}", data.hint)]
    if not data:
        return [Fault(place, f"{written} is empty", "write the file again")]
    secret = field.removesuffix("_file").endswith(_SECRET_FIELDS) or _PEM_KEY in data
    try:
        open_to_all = path.stat().st_mode & stat.S_IROTH
    except OSError as error:
        return [unreadable(error, place)]
    if secret and open_to_all:
        return [
            Fault(
                place,
                f"{written} can be read by every user of this machine",
                f"chmod 600 {written}",
            )
        ]
    return []
