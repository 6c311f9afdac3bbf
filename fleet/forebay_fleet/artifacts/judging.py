"""Looks into an archive before people sign it: what a box would refuse is refused at the desk.

Owns what is held against docs/reference/fleet-protocol.md, Artifacts, and agent-package.md. Nothing
is unpacked, and what the files do is not judged: the box still is the one who decides.
"""

from __future__ import annotations

import json
import lzma
import tarfile
import tomllib
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TYPES = ("plugin", "model", "agent")
MAX_FILES = {"plugin": 50_000, "model": 50_000, "agent": 100_000}
MAX_SIZE_BYTES = {"plugin": 2 << 30, "model": 2 << 30, "agent": 1 << 30}
MAX_PATH_BYTES = 512
MAX_DEPTH = 24
MAX_MANIFEST_BYTES = 1 << 20
_MANIFESTS = {"plugin": "plugin.toml", "agent": "agent.json"}
_LAUNCHER = "site-packages/forebay/launcher/"
_ZIP_KIND = 16  # the upper half of external_attr is st_mode, where a Unix made it
_FILE, _KIND = 0o100000, 0o170000
_NO_ARCHIVE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,  # zipfile: encrypted
)


class _Entry(NamedTuple):
    """A file in an archive; `read` gives its first bytes."""

    path: PurePosixPath
    size_bytes: int
    read: Callable[[int], bytes]


class _Found(NamedTuple):
    """The names of all files, and the manifests among them by their names."""

    names: list[PurePosixPath]
    manifests: dict[PurePosixPath, bytes]


def judge(file: Path, type_: str, name: str, version: str) -> None:
    """See that `file` is an archive that a box can take as this.

    Raises UsageError for one that is none, leads out of its folder, is too large, or says that it
    is something else.
    """
    try:
        found = _look(file, type_)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}", hint="check the path") from error
    except _NO_ARCHIVE as error:
        raise _refused(file, f"it is no whole .tar.gz or .zip: {error}") from error
    if not found.names:
        raise _refused(file, "nothing is in it")
    tops = {path.parts[0] for path in found.names}
    strip = len(tops) == 1 and all(len(path.parts) > 1 for path in found.names)
    base = PurePosixPath(tops.pop() if strip else "")
    if type_ in _MANIFESTS:
        data = found.manifests.get(base / _MANIFESTS[type_])
        if data is None:
            raise _refused(file, f"it has no {_MANIFESTS[type_]}")
        says = _of_plugin(file, data) if type_ == "plugin" else _of_agent(file, data)
        wanted = (name, version) if type_ == "plugin" else ("forebay-agent", version)
        if says != wanted:
            text = f"it says that it is {' '.join(says)}, and not {' '.join(wanted)}"
            raise _refused(file, text, f"--name {says[0]} --version {says[1]}, or another file")
    if type_ == "agent" and not any(str(p).startswith(str(base / _LAUNCHER)) for p in found.names):
        raise _refused(file, f"it does not hold {_LAUNCHER}")


def _look(file: Path, type_: str) -> _Found:
    found, left = _Found([], {}), MAX_SIZE_BYTES[type_]
    for entry in _entries(file):
        left -= entry.size_bytes
        if len(found.names) == MAX_FILES[type_]:
            raise _refused(file, f"it has more than {MAX_FILES[type_]:,} files")
        if left < 0:
            raise _refused(file, f"it is larger than {MAX_SIZE_BYTES[type_] >> 20:,} MiB unpacked")
        _judge_path(file, entry.path)
        found.names.append(entry.path)
        if entry.path.name in _MANIFESTS.values() and len(entry.path.parts) <= 2:
            found.manifests[entry.path] = entry.read(MAX_MANIFEST_BYTES + 1)
    return found


def _judge_path(file: Path, path: PurePosixPath) -> None:
    shown = str(path)[:60]
    if not path.parts or not str(path).isprintable():
        raise _refused(file, f"{shown!r} is no name of a file")
    if path.is_absolute() or ".." in path.parts or "\\" in str(path):
        raise _refused(file, f"{shown!r} leads out of it")
    if len(str(path).encode(errors="replace")) > MAX_PATH_BYTES or len(path.parts) > MAX_DEPTH:
        raise _refused(file, f"{shown!r}... is too long a path")


def _entries(file: Path) -> Iterator[_Entry]:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield from _of_zip(file, archive)
    else:
        with tarfile.open(file, "r:*") as tar:
            yield from _of_tar(file, tar)


def _of_zip(file: Path, archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        if info.filename.endswith("/"):
            continue
        if (info.external_attr >> _ZIP_KIND) & _KIND not in (0, _FILE):
            raise _refused(file, f"{info.filename[:60]!r} is neither a file nor a folder")

        def read(most: int, info: zipfile.ZipInfo = info) -> bytes:
            with archive.open(info) as data:
                return data.read(most)

        yield _Entry(PurePosixPath(info.filename), info.file_size, read)


def _of_tar(file: Path, archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if info.isdir():
            continue
        if not info.isreg():
            raise _refused(file, f"{info.name[:60]!r} is neither a file nor a folder")

        def read(most: int, info: tarfile.TarInfo = info) -> bytes:
            data: IO[bytes] | None = archive.extractfile(info)
            return data.read(most) if data is not None else b""

        yield _Entry(PurePosixPath(info.name), info.size, read)


def _of_plugin(file: Path, data: bytes) -> tuple[str, str]:
    """Give what a plugin.toml says: name and version."""
    try:
        table: Any = tomllib.loads(_text(data)).get("plugin")
        return str(table["name"]), str(table["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(file, f"plugin.toml names no plugin and version: {error}") from error


def _of_agent(file: Path, data: bytes) -> tuple[str, str]:
    """Give what an agent.json says: name and version."""
    try:
        table: Any = json.loads(_text(data))
        return str(table["name"]), str(table["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(file, f"agent.json names no agent and version: {error}") from error


def _text(data: bytes) -> str:
    if len(data) > MAX_MANIFEST_BYTES:
        raise ValueError(f"it is larger than {MAX_MANIFEST_BYTES >> 10} KiB")
    return data.decode("utf-8")


def _refused(file: Path, why: str, hint: str = "") -> UsageError:
    hint = hint or "give a .tar.gz or .zip of plain files: docs/guides/artifacts.md"
    return UsageError(f"{file} is not what a box takes: {why}", hint=hint)
