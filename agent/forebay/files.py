"""The disk seam.

Every byte that Forebay stores passes here, so that a test can lose, tear or refuse it.

Owns the calls and what each one promises after a power cut. Must not know what the bytes mean. All
calls block: the journal makes them on its own threads. Errors are the operating system's `OSError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_SYNC_FILE_RANGE_WRITE = 2
_sync_file_range = ctypes.CDLL(None).sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def no_space(error: OSError) -> bool:
    """Whether the disk has no room left, be it for bytes, for files, or within a quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class Seen(NamedTuple):
    """What is in a directory under a name, by its own inode: a link is not followed.

    `regular`: it is a file; `strange`: it is neither a file nor a directory.
    """

    name: str
    size_bytes: int
    mtime_ns: int
    inode: int
    regular: bool
    strange: bool


class DiskFile(Protocol):
    """One open file."""

    @property
    def path(self) -> Path:
        """The path it was opened with."""
        ...

    def pwrite(self, data: Sequence[bytes | memoryview], offset: int) -> int:
        """Write the pieces one after the other at `offset`, all of them; volatile until `datasync`.

        Gives the byte count.
        """
        ...

    def begin_writing(self, size: int, offset: int) -> None:
        """Have the device begin with what was written there, as a head start of `datasync`.

        Promises nothing, and never fails: what goes wrong is told by the next `datasync`.
        """
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Read up to `size` bytes at `offset`; fewer only at the end of the file."""
        ...

    def datasync(self) -> None:
        """Make content and size durable. After an error the file must not be written again."""
        ...

    def allocate(self, size: int) -> None:
        """Reserve blocks so that writes below `size` cannot meet a full disk.

        The file reads as zeros there.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend to `size`; durable after `datasync`."""
        ...

    def size(self) -> int:
        """Give the size in bytes."""
        ...

    def close(self) -> None:
        """Close; promises no durability."""
        ...


class Trees(Protocol):
    """What is asked of directories and links, beside files."""

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory; durable after `sync_dir` of the parent."""
        ...

    def point(self, path: Path, target: str) -> None:
        """Make `path` a symbolic link to `target`, in the place of one that is there; atomic.

        Durable on return.
        """
        ...

    def pointed(self, path: Path) -> str | None:
        """Give where the symbolic link `path` leads; None if it is none, or not there."""
        ...


class Disk(Trees, Protocol):
    """A file system."""

    def open(
        self, path: Path, *, create: bool = False, write: bool = False, private: bool = False
    ) -> DiskFile:
        """Open an existing file, or with `create` a new one (fails if it exists).

        The mode of a new one is 0640, or 0600 if it is `private`.
        """
        ...

    def listdir(self, path: Path) -> list[str]:
        """Give the names in a directory, sorted."""
        ...

    def files(self, path: Path) -> list[str]:
        """Give of `listdir` what is a regular file, or leads to one: the rest cannot be read."""
        ...

    def makedirs(self, path: Path) -> None:
        """Make a directory and its parents (mode 0750) where missing, durable on return."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether the path exists."""
        ...

    def size(self, path: Path) -> int:
        """Give a file's size in bytes."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename over `target`, atomic; durable after `sync_dir` of the parent."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name; durable after `sync_dir` of the parent."""
        ...

    def sync_dir(self, path: Path) -> None:
        """Make a directory's names durable."""
        ...

    def write_atomic(self, path: Path, data: bytes) -> None:
        """Replace a small file whole: after a cut it holds the old bytes or the new ones.

        Durable on return.
        """
        ...

    def read_bytes(self, path: Path, limit: int) -> bytes:
        """Read a small file whole, at most `limit` bytes."""
        ...

    def drop_cache(self, path: Path) -> None:
        """Have the next read of this file's flushed content come from the medium."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Give the bytes that an unprivileged process may still use on this file system.

        Of a path that is still to be made: on the one where it would be.
        """
        ...

    def total_bytes(self, path: Path) -> int:
        """Give the size of this file system; of a path that is still to be made as `free_bytes`."""
        ...

    def lock(self, path: Path) -> DiskFile | None:
        """Take an exclusive lock that ends with the process; None if another process has it."""
        ...


class Folders(Protocol):
    """The disk seam, towards directories in which others write."""

    def look(self, path: Path, limit: int) -> tuple[tuple[int, int], list[Seen]]:
        """Give a directory's own identity (device, inode), and at most `limit` of what is in it.

        What disappears while it is looked at is left out.
        """
        ...

    def seen(self, path: Path) -> Seen:
        """Give what is at `path`, as `look` does."""
        ...

    def open_regular(self, path: Path) -> DiskFile:
        """Open for reading what is a file, and neither a link nor anything that one could wait on.

        OSError (ELOOP, EINVAL) for what is not.
        """
        ...


class SystemFile:
    """A file of the machine."""

    def __init__(self, path: Path, fd: int) -> None:
        """Own `fd` from now on."""
        self._path, self._fd = path, fd

    @property
    def path(self) -> Path:
        """See `DiskFile.path`."""
        return self._path

    def pwrite(self, data: Sequence[bytes | memoryview], offset: int) -> int:
        """See `DiskFile.pwrite`; one system call unless the kernel takes less than it was given."""
        total = sum(map(len, data))
        done = os.pwritev(self._fd, data, offset)
        if done < total:
            rest = memoryview(b"".join(data))
            while done < total:
                done += os.pwrite(self._fd, rest[done:], offset + done)
        return total

    def begin_writing(self, size: int, offset: int) -> None:
        """See `DiskFile.begin_writing`; sync_file_range(2), SYNC_FILE_RANGE_WRITE."""
        _sync_file_range(self._fd, offset, size, _SYNC_FILE_RANGE_WRITE)

    def pread(self, size: int, offset: int) -> bytes:
        """See `DiskFile.pread`."""
        data = os.pread(self._fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def datasync(self) -> None:
        """See `DiskFile.datasync`."""
        os.fdatasync(self._fd)

    def allocate(self, size: int) -> None:
        """See `DiskFile.allocate`."""
        os.posix_fallocate(self._fd, 0, size)

    def truncate(self, size: int) -> None:
        """See `DiskFile.truncate`."""
        os.ftruncate(self._fd, size)

    def size(self) -> int:
        """See `DiskFile.size`."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """See `DiskFile.close`."""
        os.close(self._fd)


class SystemTrees:
    """Directories and links of the machine."""

    def rmdir(self, path: Path) -> None:
        """See `Trees.rmdir`."""
        path.rmdir()

    def point(self, path: Path, target: str) -> None:
        """See `Trees.point`: a link of another name, renamed over this one."""
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)
        _sync_dir(path.parent)

    def pointed(self, path: Path) -> str | None:
        """See `Trees.pointed`."""
        with contextlib.suppress(OSError):
            return str(path.readlink())
        return None


class SystemDisk(SystemTrees):
    """The machine's file system."""

    def open(
        self, path: Path, *, create: bool = False, write: bool = False, private: bool = False
    ) -> SystemFile:
        """See `Disk.open`."""
        flags = os.O_CLOEXEC | (os.O_RDWR if write or create else os.O_RDONLY)
        flags |= os.O_CREAT | os.O_EXCL if create else 0
        return SystemFile(path, os.open(path, flags, 0o600 if private else 0o640))

    def listdir(self, path: Path) -> list[str]:
        """See `Disk.listdir`."""
        return sorted(os.listdir(path))  # noqa: PTH208 - names, not paths, are what recovery parses

    def files(self, path: Path) -> list[str]:
        """See `Disk.files`; a file that is gone before it is looked at is left out."""
        with os.scandir(path) as found:
            return sorted(entry.name for entry in found if entry.is_file())

    def makedirs(self, path: Path) -> None:
        """See `Disk.makedirs`."""
        if path.is_dir():
            return
        self.makedirs(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o750)
        self.sync_dir(path.parent)

    def exists(self, path: Path) -> bool:
        """See `Disk.exists`."""
        return path.exists()

    def size(self, path: Path) -> int:
        """See `Disk.size`."""
        return path.stat().st_size

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk.rename`."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """See `Disk.unlink`."""
        path.unlink()

    def sync_dir(self, path: Path) -> None:
        """See `Disk.sync_dir`."""
        _sync_dir(path)

    def write_atomic(self, path: Path, data: bytes) -> None:
        """See `Disk.write_atomic`: temporary file, flush, rename, flush of the directory."""
        temporary = path.with_name(path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            self.unlink(temporary)
        file = self.open(temporary, create=True)
        try:
            file.pwrite([data], 0)
            file.datasync()
        finally:
            file.close()
        self.rename(temporary, path)
        self.sync_dir(path.parent)

    def read_bytes(self, path: Path, limit: int) -> bytes:
        """See `Disk.read_bytes`."""
        with path.open("rb") as file:
            return file.read(limit)

    def drop_cache(self, path: Path) -> None:
        """See `Disk.drop_cache`; posix_fadvise(2), POSIX_FADV_DONTNEED."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """See `Disk.free_bytes`."""
        return shutil.disk_usage(_there(path)).free

    def total_bytes(self, path: Path) -> int:
        """See `Disk.total_bytes`."""
        return shutil.disk_usage(_there(path)).total

    def lock(self, path: Path) -> SystemFile | None:
        """See `Disk.lock`; flock(2) on a file of its own, which is never removed."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return SystemFile(path, fd)


class SystemFolders:
    """Those of the machine."""

    def look(self, path: Path, limit: int) -> tuple[tuple[int, int], list[Seen]]:
        """See `Folders.look`."""
        found: list[Seen] = []
        status = path.stat()
        with os.scandir(path) as entries:
            for entry in entries:
                if len(found) == limit:
                    break
                with contextlib.suppress(FileNotFoundError):
                    found.append(_seen(entry.name, entry.stat(follow_symlinks=False)))
        return (status.st_dev, status.st_ino), found

    def seen(self, path: Path) -> Seen:
        """See `Folders.seen`."""
        return _seen(path.name, path.lstat())

    def open_regular(self, path: Path) -> SystemFile:
        """See `Folders.open_regular`; O_NONBLOCK, or a pipe would wait for its writer."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return SystemFile(path, fd)


def _seen(name: str, status: os.stat_result) -> Seen:
    regular = stat.S_ISREG(status.st_mode)
    strange = not regular and not stat.S_ISDIR(status.st_mode)
    return Seen(name, status.st_size, status.st_mtime_ns, status.st_ino, regular, strange)


def _sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _there(path: Path) -> Path:
    """Give the path, or of its parents the nearest that exists."""
    while not path.exists():
        path = path.parent
    return path
