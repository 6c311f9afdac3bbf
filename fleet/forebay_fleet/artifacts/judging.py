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
from functools import partial
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
MAX_ARCHIVE_BYTES = {"plugin": 2 << 30, "model": 2 << 30, "agent": 1 << 30}
MAX_MANIFEST_BYTES = {"plugin.toml": 256 << 10, "agent.json": 64 << 10}
LEFT_OUT = frozenset({".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
"""Folders that a box leaves out."""
_MANIFESTS = {"plugin": "plugin.toml", "agent": "agent.json"}
_TABLES = frozenset({"plugin", "inputs", "window", "outputs", "limits", "settings"})
_LAUNCHER = "site-packages/forebay/launcher"
_CHUNK = 1 << 20
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
    """A file in an archive; `open` gives what it holds."""

    path: PurePosixPath
    size_bytes: int
    open: Callable[[], IO[bytes]]


class _Found(NamedTuple):
    """The names of all files that a box takes, and the manifests among them by their names."""

    names: set[PurePosixPath]
    manifests: dict[PurePosixPath, bytes]


def judge(file: Path, type_: str, name: str, version: str) -> None:
    """See that `file` is an archive that a box can take as this.

    Raises UsageError for one that is none, leads out of its folder, is too large, or says that it
    is something else.
    """
    try:
        if file.stat().st_size > (most := MAX_ARCHIVE_BYTES[type_]):
            raise _refused(file, f"it is larger than {most >> 20:,} MiB")
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
    if type_ == "agent" and not any(base / _LAUNCHER in path.parents for path in found.names):
        raise _refused(file, f"it does not hold {_LAUNCHER}")


def _look(file: Path, type_: str) -> _Found:
    """Read all of it, as a box will: what is damaged shows."""
    found, folders = _Found(set(), {}), set[PurePosixPath]()
    left = MAX_SIZE_BYTES[type_]
    for count, entry in enumerate(_entries(file)):
        left -= entry.size_bytes
        if count == MAX_FILES[type_]:
            raise _refused(file, f"it has more than {MAX_FILES[type_]:,} files")
        if left < 0:
            raise _refused(file, f"it is larger than {MAX_SIZE_BYTES[type_] >> 20:,} MiB unpacked")
        path = entry.path
        if LEFT_OUT & set(path.parts):
            continue
        _judge_path(file, path)
        if path in found.names or path in folders or not found.names.isdisjoint(path.parents):
            raise _refused(file, f"{str(path)[:60]!r} is in it twice")
        found.names.add(path)
        folders.update(path.parents)
        begin = _read(entry)
        if path.name in MAX_MANIFEST_BYTES and len(path.parts) <= 2:
            found.manifests[path] = begin
    return found


def _read(entry: _Entry) -> bytes:
    """Give the first bytes of a file, after having read it to its end."""
    with entry.open() as data:
        begin = data.read(_CHUNK)
        while data.read(_CHUNK):
            pass
    return begin


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
        yield _Entry(PurePosixPath(info.filename), info.file_size, partial(archive.open, info))


def _of_tar(file: Path, archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if info.isdir():
            continue
        if not info.isreg():
            raise _refused(file, f"{info.name[:60]!r} is neither a file nor a folder")
        yield _Entry(PurePosixPath(info.name), info.size, partial(_file, archive, info))


def _file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    data = archive.extractfile(info)
    assert data is not None
    return data


def _of_plugin(file: Path, data: bytes) -> tuple[str, str]:
    """Give what a plugin.toml says: name and version; see that it has what every one must have."""
    try:
        tables: Any = tomllib.loads(_text("plugin.toml", data))
        table = tables["plugin"]
        named = str(table["name"]), str(table["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(file, f"plugin.toml names no plugin and version: {error}") from error
    command, inputs = table.get("command"), tables.get("inputs")
    words = isinstance(command, list) and all(isinstance(one, str) and one for one in command)
    fault = ""
    if not words or not 1 <= len(command) <= 64:
        fault = "plugin.command is no list of words"
    elif table.get("protocol", 1) != 1:
        fault = f"plugin.protocol is {table['protocol']}, and not 1"
    elif not isinstance(inputs, dict) or not 1 <= len(inputs) <= 64:
        fault = "inputs names no role"
    elif others := sorted(tables.keys() - _TABLES):
        fault = f"{others[0]} is no table of it"
    if fault:
        raise _refused(file, f"plugin.toml: {fault}", "see docs/guides/plugins.md")
    return named


def _of_agent(file: Path, data: bytes) -> tuple[str, str]:
    """Give what an agent.json says: name and version."""
    try:
        table: Any = json.loads(_text("agent.json", data))
        for key in ("python", "machine"):
            if not table[key]:
                raise ValueError(f"{key} is empty")  # noqa: TRY301 - one handler for all
        return str(table["name"]), str(table["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(file, f"agent.json says no agent, version and machine: {error}") from error


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_MANIFEST_BYTES[name]:
        raise ValueError(f"it is larger than {MAX_MANIFEST_BYTES[name] >> 10} KiB")
    return data.decode("utf-8")


def _refused(file: Path, why: str, hint: str = "") -> UsageError:
    hint = hint or "give a .tar.gz or .zip of plain files: docs/guides/artifacts.md"
    return UsageError(f"{file} is not what a box takes: {why}", hint=hint)
