"""A person's configuration on disk, as the files of a desired state.

Owns which files belong to it, and their limits (ConfigFile in fleet.proto): of a directory all that
are in it, of a main file `conf.d/*.toml` and what these name by a relative path. Must not know what
any key means.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAIN = "forebay.toml"
MAX_FILES, MAX_BYTES, MAX_FILE_BYTES = 2_048, 64 << 20, 16 << 20
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,7}}")


def read(path: Path) -> dict[str, bytes]:
    """Give each file with its content, by its path in the configuration.

    Raises:
        UsageError: a file cannot be read, is too large or has a name that cannot be.
    """
    base = path if path.is_dir() else path.parent
    found = _below(base) if path.is_dir() else _of(path)
    contents: dict[str, bytes] = {}
    total = 0
    for name, file in found:
        _check_name(name)
        contents[name] = _data(file)
        total += len(contents[name])
        _check_size(str(base), len(contents), total)
    check(contents, str(base))
    return contents


def check(contents: Mapping[str, bytes], where: str = "the configuration") -> None:
    """See that files in memory can be a configuration; `where` they are, for a person.

    Raises:
        UsageError: as `read`.
    """
    for name, data in contents.items():
        _check_name(name)
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(f"{name} is larger than 16 MiB", hint="split it into several")
    _check_size(where, len(contents), sum(map(len, contents.values())))
    if MAIN not in contents:
        raise UsageError(f"{where} has no {MAIN}", hint=f"call its main file {MAIN}")


def _check_name(name: str) -> None:
    if not _PATH.fullmatch(name) or len(name) > 512:
        raise UsageError(
            f"{name!r} is no name of a configuration's file",
            hint="use at most 8 parts of letters, digits, '.', '_' and '-'",
        )


def _check_size(where: str, files: int, size_bytes: int) -> None:
    if files > MAX_FILES or size_bytes > MAX_BYTES:
        raise UsageError(f"{where} is too large", hint="at most 2,048 files, 64 MiB")


def _data(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="name a file that is there") from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{file} is larger than 16 MiB", hint="split it into several")
    return data


def _below(base: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(base.rglob("*")):
        if file.is_file():
            yield file.relative_to(base).as_posix(), file


def _of(path: Path) -> Iterator[tuple[str, Path]]:
    base, seen = path.parent, set[str]()
    tables = [(MAIN, path)]
    tables += [(f"conf.d/{one.name}", one) for one in sorted((base / "conf.d").glob("*.toml"))]
    for name, file in tables:
        yield name, file
        try:
            document = tomllib.loads(_data(file).decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{file}: {error}", hint="check it: forebay check") from None
        for text in _texts(document):
            plain = text.removeprefix("./")
            if _PATH.fullmatch(plain) and plain not in seen and (base / plain).is_file():
                seen.add(plain)
                yield plain, base / plain


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever TOML holds
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)
