"""Takes a plugin's files out of a folder or an archive, without believing it.

Owns what may come in: names, kinds, number and size are held against limits before anything is
written, and again while it is. Must not know what the files mean.

Links are refused, but for those of a virtual environment in a folder (`venv`), which point to the
interpreter that made it. Nothing keeps its owner or its special permissions.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NamedTuple, Self, cast

from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_PATH_BYTES = 512
MAX_DEPTH = 24
LEFT_OUT = frozenset({".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
"""Folders that are no part of a plugin."""
VENV = "venv"
SPARE_BYTES = 64 << 20
"""What must stay free on the disk: the journal is on it too."""
_CHUNK = 1 << 20
_READ_MOST = 2 * _CHUNK
_NO_ARCHIVE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)
"""What the libraries raise for an archive that is none, or is broken."""
_ZIP_KIND = 16  # zip: the upper half of external_attr is st_mode, where a Unix made it


class Most(NamedTuple):
    """How many files may come in, and how many bytes all together."""

    entries: int = 50_000
    size_bytes: int = 2 << 30


MOST = Most()


class _Entry(NamedTuple):
    """One thing that would come in; `open` gives a file's bytes, `link` where a link points."""

    path: PurePosixPath
    size_bytes: int
    executable: bool = False
    open: Callable[[], IO[bytes]] | None = None
    link: str = ""


def take(source: Path, target: Path, most: Most = MOST) -> None:
    """Copy the plugin in `source`, a folder, a .tar.gz or a .zip, into the empty folder `target`.

    An archive whose files all lie in one folder gives what is in that folder. Raises RequestInvalid
    for what must not come in, RequestFailed where there is no room for it, OSError for what cannot
    be read or written. Blocks.
    """
    with _entries(source, most) as found:
        entries = [entry for entry in found if not LEFT_OUT & set(entry.path.parts)]
    # Opened again: what was judged first is what is written then.
    for entry in entries:
        _judge_one(entry)
    _need_room(target, sum(entry.size_bytes for entry in entries))
    strip = 0 if source.is_dir() else _common(entries)
    with _entries(source, most) as found:
        left = most.size_bytes
        for entry in found:
            if not LEFT_OUT & set(entry.path.parts):
                _judge_one(entry)
                to = target.joinpath(*entry.path.parts[strip:])
                left = _write(entry, to, left, most.size_bytes)


def _need_room(target: Path, need: int) -> None:
    free = shutil.disk_usage(target).free
    if need + SPARE_BYTES > free:
        raise RequestFailed(
            f"it takes {need >> 20:,} MiB, and {SPARE_BYTES >> 20} MiB must stay free: "
            f"{free >> 20:,} MiB are free",
            hint="make room under the state directory",
        )


def _judge_one(entry: _Entry) -> None:
    path = entry.path
    if not path.parts or not str(path).isprintable():
        raise _refused(f"{str(path)[:60]!r} is no name of a file")
    if path.is_absolute() or ".." in path.parts or "\\" in str(path) or "\0" in str(path):
        raise _refused(f"{str(path)!r} leads out of it")
    if len(str(path).encode(errors="replace")) > MAX_PATH_BYTES or len(path.parts) > MAX_DEPTH:
        raise _refused(f"{str(path)[:60]!r}... is too long a path")
    if entry.link and path.parts[0] != VENV:
        raise _refused(f"{str(path)!r} is a link")


def _common(entries: Iterable[_Entry]) -> int:
    """Give how many folders at the top hold everything there is: 0 or 1."""
    tops = {entry.path.parts[0] for entry in entries}
    deep = all(len(entry.path.parts) > 1 for entry in entries)
    return 1 if len(tops) == 1 and deep else 0


def _write(entry: _Entry, target: Path, left: int, most: int) -> int:
    """Write one file or link; give how many bytes may still come."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.link:
        target.symlink_to(entry.link)
        return left
    assert entry.open is not None
    with entry.open() as data, target.open("xb") as out:
        while chunk := data.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _large(most)
            out.write(chunk)
    target.chmod(0o755 if entry.executable else 0o644)
    return left


@contextmanager
def _entries(source: Path, most: Most) -> Iterator[Iterator[_Entry]]:
    if source.is_dir():
        yield _counted(_of_folder(source), most)
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                yield _counted(_of_zip(archive), most)
        else:
            with _Plain(source) as plain, _tar(plain) as tar:
                yield _counted(_of_tar(tar), most)
    except _NO_ARCHIVE as error:
        raise _refused(f"it is no folder, .tar.gz or .zip: {error}") from error
    except RuntimeError as error:  # zipfile: encrypted
        raise _refused(str(error)) from error


def _counted(found: Iterator[_Entry], most: Most) -> Iterator[_Entry]:
    """Hold each entry against the limits before what is behind it is decompressed."""
    left = most.size_bytes
    for count, entry in enumerate(found):
        left -= entry.size_bytes
        if count >= most.entries:
            raise _refused(f"it has more than {most.entries:,} files")
        if left < 0:
            raise _large(most.size_bytes)
        yield entry


def _decompressed(source: Path) -> IO[bytes]:
    """Open a file that may be compressed; what it begins with says how (as `file` tells them)."""
    with source.open("rb") as file:
        begin = file.read(6)
    if begin.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(source))
    if begin.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(source))
    if begin.startswith(b"\xfd7zXZ\0"):
        return cast("IO[bytes]", lzma.open(source))
    return _opened(source)


class _Plain:
    """The bytes of a tar, decompressed as they are read, never many at once.

    A header may say that a name follows of any length, which tarfile reads into memory as a whole.
    """

    def __init__(self, source: Path) -> None:
        self._file = _decompressed(source)
        self.tell, self.seek = self._file.tell, self._file.seek

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size_bytes: int) -> bytes:
        """Give at most so many bytes; RequestInvalid for more than a header or a piece has."""
        if not 0 <= size_bytes <= _READ_MOST:
            raise _refused("a name in it has no end")
        return self._file.read(size_bytes)


def _of_folder(source: Path) -> Iterator[_Entry]:
    for path in _walk(source):
        status = path.lstat()
        within = PurePosixPath(path.relative_to(source))
        if stat.S_ISLNK(status.st_mode):
            yield _Entry(within, 0, link=str(path.readlink()))
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & stat.S_IXUSR)
            yield _Entry(within, status.st_size, executable, partial(_opened, path))
        else:
            raise _refused(f"{str(within)!r} is neither a file nor a folder")


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _of_zip(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        mode = info.external_attr >> _ZIP_KIND
        path = PurePosixPath(info.filename)
        if info.filename.endswith("/"):  # is_dir() fails on an empty name
            continue
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _refused(f"{info.filename!r} is neither a file nor a folder")
        yield _Entry(
            path,
            info.file_size,
            bool(mode & stat.S_IXUSR),
            partial(archive.open, info),
        )


def _tar(plain: _Plain) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r:")


def _of_tar(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        path = PurePosixPath(info.name)
        if info.isdir():
            continue
        if not info.isreg() or info.size < 0:
            kind = "a link" if info.islnk() or info.issym() else "neither a file nor a folder"
            raise _refused(f"{info.name!r} is {kind}")
        yield _Entry(
            path,
            info.size,
            bool(info.mode & stat.S_IXUSR),
            partial(_file, archive, info),
        )


def _file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    data = archive.extractfile(info)
    assert data is not None
    return data


def _large(most_bytes: int) -> RequestInvalid:
    return _refused(f"it is larger than {most_bytes >> 20:,} MiB")


def _refused(reason: str) -> RequestInvalid:
    return RequestInvalid(
        f"this is not taken: {reason}",
        hint="give a folder, or a .tar.gz or .zip of plain files",
    )
