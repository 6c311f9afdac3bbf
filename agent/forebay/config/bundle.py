"""The files of one configuration as a whole: what belongs to it, its hash, its limits.

Owns the paths that such files may have, and how a person's configuration is gathered from disk: the
main file, `conf.d/*.toml` beside it, and every file below their directory that they name by a
relative path. Must not know what any key means.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay.config.faults import printable, shown
from forebay.config.sources import MAX_FRAGMENTS, MAX_TOML_BYTES, parse, read_bytes, unreadable
from forebay.config.taglist import MAX_CSV_BYTES
from forebay.errors import ConfigError, Fault, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAIN = "forebay.toml"
"""The main file's path in a bundle, whatever it is called on disk."""
FRAGMENTS = "conf.d"
MAX_FILES = 2_048
MAX_BYTES = 64 << 20
"""Of all files together."""
MAX_FILE_BYTES = MAX_CSV_BYTES
MAX_PATH_CHARACTERS = 512
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,7}}")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a configuration; `sha256` are 32 bytes. See ConfigFile in fleet.proto."""

    path: str
    sha256: bytes
    size_bytes: int


def config_hash(files: Iterable[File]) -> bytes:
    """Give the hash of a configuration: see ConfigFile in fleet.proto."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda one: one.path.encode()):
        digest.update(f"{file.path}\0{file.sha256.hex()}\n".encode())
    return digest.digest()


def described(contents: Mapping[str, bytes]) -> tuple[File, ...]:
    """Give the files with these contents, in the order of their paths' bytes."""
    return tuple(
        File(path, hashlib.sha256(contents[path]).digest(), len(contents[path]))
        for path in sorted(contents, key=str.encode)
    )


def check_files(files: Iterable[File]) -> None:
    """Raise RequestInvalid for what cannot be the files of a configuration."""
    seen: set[str] = set()
    total = 0
    for file in files:
        if len(file.path) > MAX_PATH_CHARACTERS or not _PATH.fullmatch(file.path):
            raise _invalid(
                f"{shown(file.path)} is no path of a configuration's file",
                "write 1 to 8 names of letters, digits, '.', '_' and '-', none beginning with '.'",
            )
        if len(file.sha256) != hashlib.sha256().digest_size or file.size_bytes < 0:
            raise _invalid(f"{file.path} has no sound hash or size", "send it as it is")
        if file.size_bytes > MAX_FILE_BYTES:
            raise _invalid(
                f"{file.path} is larger than {MAX_FILE_BYTES >> 20} MiB", "split it into several"
            )
        seen_before = len(seen)
        seen.add(file.path)
        total += file.size_bytes
        if len(seen) == seen_before:
            raise _invalid(f"{file.path} is there twice", "send it once")
        if len(seen) > MAX_FILES or total > MAX_BYTES:
            raise _invalid(
                f"it has more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MiB",
                "leave out what the gateway does not need",
            )
    if MAIN not in seen:
        raise _invalid(f"it has no {MAIN}", f"call its main file {MAIN}")
    folders = {path.rsplit("/", depth)[0] for path in seen for depth in range(1, 9) if "/" in path}
    if clash := (folders - {path for path in seen if "/" not in path}) & seen or {
        path for path in seen if any(other.startswith(f"{path}/") for other in seen)
    }:
        raise _invalid(f"{min(clash)} is a file and a directory", "rename one of them")


def _invalid(message: str, hint: str) -> RequestInvalid:
    return RequestInvalid(message, hint=hint)


def gather(path: Path) -> dict[str, bytes]:
    """Give every file of the configuration `path` with its content, by its path in the bundle.

    Raises:
        ConfigError: a file cannot be read or is too large, or one that is named by a relative path
            has a name that a bundle cannot have. What is wrong inside is not looked at.
    """
    base, faults = path.absolute().parent, list[Fault]()
    contents: dict[str, bytes] = {}
    texts = [(path, MAIN, path.name)]
    texts += [(found, f"{FRAGMENTS}/{found.name}", "") for found in _fragments(base, faults)]
    for file, name, _ in texts:
        place = str(path) if file is path else name
        data = read_bytes(file, printable(place), MAX_TOML_BYTES)
        if isinstance(data, Fault):
            faults.append(data)
            continue
        contents[name] = data
        for where, written in _named(data, name):
            if written not in contents:
                _take(base, written, where, contents, faults)
    if faults:
        raise ConfigError(faults)
    check_files(described(contents))
    return contents


def _fragments(base: Path, faults: list[Fault]) -> list[Path]:
    try:
        found = sorted((base / FRAGMENTS).glob("*.toml"))
    except OSError as error:
        faults.append(unreadable(error, FRAGMENTS))
        return []
    return found[: MAX_FRAGMENTS + 1]


def _named(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Give every text in these tables, with the place where it stands."""
    tables = parse(data.decode("utf-8-sig", errors="replace"), name)
    if not isinstance(tables, Fault):
        yield from _texts(tables, "")


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - whatever TOML holds
    match value:
        case str():
            yield where, value
        case dict():
            for key, one in value.items():
                yield from _texts(one, f"{where}.{key}".removeprefix("."))
        case list():
            for one in value:
                yield from _texts(one, where)


def _take(
    base: Path, written: str, where: str, contents: dict[str, bytes], faults: list[Fault]
) -> None:
    """Take the file that `written` names, if it is a relative path of one."""
    if not 0 < len(written) <= MAX_PATH_CHARACTERS or "\0" in written or written.startswith("/"):
        return
    try:
        if not (base / written).is_file():
            return
    except (OSError, ValueError):
        return
    place = printable(where)
    name = written.removeprefix("./")
    if not _PATH.fullmatch(name):
        if "/" in written or "." in written:
            hint = "write its absolute path, or give it a plain name beside the main file"
            message = f"{printable(written)} cannot go along with the configuration"
            faults.append(Fault(place, message, hint))
        return
    data = read_bytes(base / written, place, MAX_FILE_BYTES)
    if isinstance(data, Fault):
        faults.append(Fault(place, f"{printable(written)} {data.message}", data.hint))
    else:
        contents[name] = data
