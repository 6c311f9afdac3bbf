"""A disk in memory that can lose its power, tear what was not flushed, refuse, and rot.

Owns a model of what POSIX and a journaling file system promise, and no more: see `testing.medium`.
Must not know what is stored.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.testing.medium import (
    SECTOR_BYTES,
    Content,
    FaultyFile,
    Inode,
    Medium,
    PowerCut,
    Rename,
    renamed,
    survivor,
)

if TYPE_CHECKING:
    import random

__all__ = ["SECTOR_BYTES", "FaultyDisk", "FaultyFile", "Medium", "PowerCut"]


class _Trees(Medium):
    """Directories and links."""

    def rmdir(self, path: Path) -> None:
        """See `Trees.rmdir`."""

        def rmdir() -> None:
            if any(name.parent == path for name in {*self._names, *self._directories}):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
            self._directories.remove(path)

        self.change("rmdir", path, rmdir)

    def point(self, path: Path, target: str) -> None:
        """See `Trees.point`: a link's target is part of its name, and as durable."""
        temporary = path.with_name(path.name + ".new")
        content = Content(target.encode())
        link = Inode(content, content.copy(), link=True)

        def put(name: Path, gone: Path | None) -> None:
            self._rename(path.parent, Rename(name, link, gone))

        self.change("symlink", temporary, lambda: put(temporary, None))
        self.change("rename", temporary, lambda: put(path, temporary))
        self.change("sync_dir", path.parent, lambda: self._settle(path.parent))

    def pointed(self, path: Path) -> str | None:
        """See `Trees.pointed`."""
        with self.guarded("pointed", path):
            inode = self._names.get(path)
            return bytes(inode.live.data).decode() if inode is not None and inode.link else None

    def _settle(self, path: Path) -> None:
        for change in self._changes.pop(path, []):
            renamed(self._stable_names, change)


class FaultyDisk(_Trees):
    """Implements `forebay.files.Disk`. Safe for all threads."""

    def snapshot(self) -> FaultyDisk:
        """Give a copy of all files as they are, as a backup or a second box has them."""
        after = FaultyDisk(capacity_bytes=self._capacity_bytes, capacity_files=self._capacity_files)
        for path, inode in self._names.items():
            copy = Inode(inode.live.copy(), inode.live.copy(), link=inode.link)
            after._names[path] = after._stable_names[path] = copy
        after._directories = set(self._directories)
        return after

    def reboot(self, rng: random.Random) -> FaultyDisk:
        """Give the disk as it is found when the power is back; `rng` draws what survives."""
        after = FaultyDisk(capacity_bytes=self._capacity_bytes, capacity_files=self._capacity_files)
        after.others_bytes, after.others_files = self.others_bytes, self.others_files
        names = dict(self._stable_names)
        for changes in self._changes.values():
            for change in changes[: rng.randint(0, len(changes))]:
                renamed(names, change)
        survived: dict[Inode, Inode] = {}
        for path, inode in names.items():
            if inode not in survived:
                content = survivor(inode, rng)
                survived[inode] = Inode(content, content.copy(), link=inode.link)
            after._names[path] = after._stable_names[path] = survived[inode]
        after._directories = set(self._directories)
        return after

    def open(
        self,
        path: Path,
        *,
        create: bool = False,
        write: bool = False,
        private: bool = False,  # noqa: ARG002 - there is one user here
    ) -> FaultyFile:
        """See `Disk.open`."""
        if not create:
            with self.guarded("open", path):
                if path not in self._names:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
                return FaultyFile(self, path, self._names[path], write=write)
        inode = Inode()

        def link() -> None:
            if path in self._names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            self._need_file()
            self._rename(path.parent, Rename(path, inode, None))

        self.change("create", path, link)
        return FaultyFile(self, path, inode, write=True)

    def listdir(self, path: Path) -> list[str]:
        """See `Disk.listdir`."""
        with self.guarded("listdir", path):
            known = {*self._names, *self._directories} - {Path("/")}
            return sorted(name.name for name in known if name.parent == path)

    def makedirs(self, path: Path) -> None:
        """See `Disk.makedirs`."""
        if path not in self._directories:
            self.change("makedirs", path, lambda: self._directories.update([path, *path.parents]))

    def exists(self, path: Path) -> bool:
        """See `Disk.exists`."""
        with self.guarded("exists", path):
            return path in self._names or path in self._directories

    def size(self, path: Path) -> int:
        """See `Disk.size`."""
        with self.guarded("size", path):
            return self._names[path].live.size

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk.rename`; within one directory."""

        def rename() -> None:
            if source not in self._names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
            self._rename(target.parent, Rename(target, self._names[source], source))

        self.change("rename", source, rename)

    def unlink(self, path: Path) -> None:
        """See `Disk.unlink`."""

        def unlink() -> None:
            if path not in self._names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self._rename(path.parent, Rename(None, None, path))

        self.change("unlink", path, unlink)

    def sync_dir(self, path: Path) -> None:
        """See `Disk.sync_dir`."""
        self.change("sync_dir", path, lambda: self._settle(path))

    def write_atomic(self, path: Path, data: bytes) -> None:
        """See `Disk.write_atomic`; made of the other calls, so that each of them can go wrong."""
        temporary = path.with_name(path.name + ".new")
        if self.exists(temporary):
            self.unlink(temporary)
        file = self.open(temporary, create=True)
        file.pwrite([data], 0)
        file.datasync()
        file.close()
        self.rename(temporary, path)
        self.sync_dir(path.parent)

    def read_bytes(self, path: Path, limit: int) -> bytes:
        """See `Disk.read_bytes`."""
        return self.open(path).pread(limit, 0)

    def drop_cache(self, path: Path) -> None:
        """See `forebay.files.Disk.drop_cache`: nothing is cached here."""
        self.open(path).close()

    def free_bytes(self, path: Path) -> int:
        """See `Disk.free_bytes`."""
        with self.guarded("free_bytes", path):
            return self.room()

    def lock(self, path: Path) -> FaultyFile | None:
        """See `Disk.lock`."""
        if path in self._locks:
            return None
        file = self.open(path) if self.exists(path) else self.open(path, create=True)
        self._locks[path] = file
        return file
