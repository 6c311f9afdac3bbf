"""What lies under a disk in memory: bytes, names, and what goes wrong with them.

Owns a model of what POSIX and a journaling file system promise, and no more: bytes survive a cut if
`datasync` returned after them, names if `sync_dir` did; everything else survives in parts and in
any order of 512-byte sectors. Names within one directory change in order, as a metadata journal has
it. Must not know what is stored.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

SECTOR_BYTES = 512


class PowerCut(OSError):
    """The power is gone: this call and all after it fail, until `FaultyDisk.reboot`."""

    def __init__(self) -> None:
        """Look like a device that does not answer."""
        super().__init__(errno.EIO, "power cut")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes on their way to the platter."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A change of size on its way."""

    size: int


class Content:
    """A file's bytes: `size` of them, zeros behind what was ever written."""

    def __init__(self, data: bytes = b"", size: int = 0) -> None:
        self.data, self.size = bytearray(data), max(size, len(data))

    def read(self, size: int, offset: int) -> bytes:
        """Give what is there of these bytes."""
        size = max(0, min(size, self.size - offset))
        return bytes(self.data[offset : offset + size]).ljust(size, b"\0")

    def apply(self, step: Write | Resize) -> None:
        """Do one step."""
        if isinstance(step, Resize):
            self.size = step.size
            del self.data[step.size :]
            return
        end = step.offset + len(step.data)
        self.data.extend(bytes(max(0, end - len(self.data))))
        self.data[step.offset : end] = step.data
        self.size = max(self.size, end)

    def flip(self, bit: int) -> None:
        """Turn a bit that was written, or that reads as zero."""
        if bit // 8 < self.size:
            self.data.extend(bytes(max(0, bit // 8 + 1 - len(self.data))))
            self.data[bit // 8] ^= 1 << bit % 8

    def copy(self) -> Content:
        """Give the same bytes, apart."""
        return Content(bytes(self.data), self.size)


@dataclass(eq=False, slots=True)
class Inode:
    """`live` is what the program sees, `stable` what the platter has, `pending` the way between."""

    live: Content = field(default_factory=Content)
    stable: Content = field(default_factory=Content)
    pending: list[Write | Resize] = field(default_factory=list)
    link: bool = False


@dataclass(frozen=True, slots=True)
class Rename:
    """A change of names: `inode` appears at `to`, and `gone` disappears."""

    to: Path | None
    inode: Inode | None
    gone: Path | None


@dataclass(slots=True)
class Failure:
    """A call that a test wants to fail: see `Medium.fail`."""

    call: str
    number: int
    part: str
    after: int


class FaultyFile:
    """Implements `forebay.files.DiskFile`."""

    def __init__(self, disk: Medium, path: Path, inode: Inode, *, write: bool) -> None:
        """Belong to `disk`; `write` as in `Disk.open`."""
        self._disk, self._path, self._inode = disk, path, inode
        self._open, self._writable = True, write

    @property
    def path(self) -> Path:
        """See `DiskFile.path`."""
        return self._path

    def pwrite(self, data: Sequence[bytes | memoryview], offset: int) -> int:
        """See `DiskFile.pwrite`. When the power goes here, any part of `data` may be on the way."""
        whole = b"".join(data)

        def write() -> None:
            assert self._open, "write to a closed file"
            assert self._writable, "write to a file that was opened to read"
            self._disk.need(offset + len(whole) - self._inode.live.size)
            self._inode.live.apply(Write(offset, whole))
            self._inode.pending.append(Write(offset, whole))

        self._disk.change("pwrite", self._path, write)
        return len(whole)

    def begin_writing(self, size: int, offset: int) -> None:
        """See `DiskFile.begin_writing`: any part of what is pending may survive a cut anyway."""
        with self._disk.guarded("begin_writing", self._path):
            assert self._open, "write-out of a closed file"
            assert offset + size <= self._inode.live.size, "write-out of what was never written"

    def pread(self, size: int, offset: int) -> bytes:
        """See `DiskFile.pread`."""
        with self._disk.guarded("pread", self._path):
            assert self._open, "read of a closed file"
            return self._inode.live.read(size, offset)

    def datasync(self) -> None:
        """See `DiskFile.datasync`.

        A failure leaves what was pending neither durable nor dirty, as Linux does: a later flush
        that succeeds does not bring it to the platter.
        """

        def sync() -> None:
            for step in self._inode.pending:
                self._inode.stable.apply(step)
            self._inode.pending.clear()

        try:
            self._disk.change("datasync", self._path, sync)
        except PowerCut:
            raise
        except OSError:
            self._inode.pending.clear()
            raise

    def allocate(self, size: int) -> None:
        """See `DiskFile.allocate`."""
        self._resize("allocate", max(size, self._inode.live.size))

    def truncate(self, size: int) -> None:
        """See `DiskFile.truncate`."""
        self._resize("truncate", size)

    def size(self) -> int:
        """See `DiskFile.size`."""
        with self._disk.guarded("size", self._path):
            return self._inode.live.size

    def close(self) -> None:
        """See `DiskFile.close`."""
        self._open = False
        self._disk.unlock(self)

    def _resize(self, call: str, size: int) -> None:
        def resize() -> None:
            self._disk.need(size - self._inode.live.size)
            self._inode.live.apply(Resize(size))
            self._inode.pending.append(Resize(size))

        self._disk.change(call, self._path, resize)


class Medium:
    """What is on the disk, and what goes wrong with it.

    Calls that change something are counted; `cut_after` and `fail` name the one that goes wrong.
    """

    def __init__(self, *, capacity_bytes: int = 1 << 40, capacity_files: int = 1 << 30) -> None:
        """Start empty; ENOSPC beyond `capacity_bytes`, or for a file beyond `capacity_files`."""
        self._capacity_bytes, self._capacity_files = capacity_bytes, capacity_files
        self.others_bytes = self.others_files = 0
        """What others have taken of the disk, for a test to change."""
        self._guard = threading.RLock()
        self._names: dict[Path, Inode] = {}
        self._stable_names: dict[Path, Inode] = {}
        self._changes: dict[Path, list[Rename]] = {}
        self._directories: set[Path] = {Path("/")}
        self._locks: dict[Path, FaultyFile] = {}
        self._failures: list[Failure] = []
        self._cut_at: int | None = None
        self.changes = 0
        """Calls so far that change something."""
        self.off = False
        """Whether the power is gone."""

    def cut_after(self, changes: int) -> None:
        """Cut the power in the middle of the call that follows `changes` more changing calls."""
        self._cut_at = self.changes + changes

    def fail(self, call: str, number: int, *, part: str = "", after: int = 0) -> None:
        """Make one `call` fail with errno `number`.

        It is the one that follows `after` calls of this name whose path holds `part`.
        """
        self._failures.append(Failure(call, number, part, after))

    def revive(self) -> None:
        """Let the next process have the disk: this one was killed, and the power stayed."""
        self.off = False
        self._locks.clear()
        self._failures.clear()

    def flip(self, path: Path, bit: int) -> None:
        """Turn one bit of a file, seen and stable, as rot does."""
        inode = self._names[path]
        inode.live.flip(bit)
        inode.stable.flip(bit)

    def paths(self) -> list[Path]:
        """Give every file, sorted."""
        return sorted(self._names)

    def unlock(self, file: FaultyFile) -> None:
        """Let go of a lock, if `file` is one."""
        if self._locks.get(file.path) is file:
            del self._locks[file.path]

    def need(self, more: int) -> None:
        """Raise ENOSPC if `more` bytes do not fit."""
        if more > 0 and more > self.room():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _need_file(self) -> None:
        """Raise ENOSPC if there is no room for one more file."""
        if len(self._names) + self.others_files >= self._capacity_files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def guarded(self, call: str, path: Path) -> threading.RLock:
        """Give the lock to hold during `call`; raise what a test asked for first."""
        with self._guard:
            if self.off:
                raise PowerCut
            for failure in self._failures:
                if failure.call == call and failure.part in str(path):
                    failure.after -= 1
                    if failure.after < 0:
                        self._failures.remove(failure)
                        raise OSError(failure.number, os.strerror(failure.number), str(path))
            return self._guard

    def change(self, call: str, path: Path, act: Callable[[], None]) -> None:
        """Do `act`, which changes something, or fail as a test asked for.

        When the power goes in a call that only hands bytes or names over, these may survive; one
        that promises durability has not kept its promise.
        """
        with self.guarded(call, path):
            self.changes += 1
            cut = self._cut_at is not None and self.changes > self._cut_at
            if not cut or call not in ("datasync", "sync_dir", "makedirs"):
                act()
            if cut:
                self.off = True
                raise PowerCut

    def room(self) -> int:
        """Give the bytes that are still free."""
        taken = sum(inode.live.size for inode in set(self._names.values()))
        return max(0, self._capacity_bytes - self.others_bytes - taken)

    def files(self, path: Path) -> list[str]:
        """See `Disk.files`."""
        with self.guarded("listdir", path):
            return sorted(name.name for name in self._names if name.parent == path)

    def total_bytes(self, path: Path) -> int:
        """See `Disk.total_bytes`."""
        with self.guarded("total_bytes", path):
            return self._capacity_bytes

    def _rename(self, directory: Path, change: Rename) -> None:
        renamed(self._names, change)
        self._changes.setdefault(directory, []).append(change)


def renamed(names: dict[Path, Inode], change: Rename) -> None:
    """Do one change of names."""
    if change.gone is not None:
        names.pop(change.gone, None)
    if change.to is not None and change.inode is not None:
        names[change.to] = change.inode


def survivor(inode: Inode, rng: random.Random) -> Content:
    """Draw what the platter holds: of each pending write all, nothing, a head, or any sectors.

    Sizes change in order: once one change of size is lost, so are the later ones.
    """
    content = inode.stable.copy()
    resizes = rng.random() < 0.5
    for step in inode.pending:
        if isinstance(step, Resize):
            resizes = resizes and rng.random() < 0.9
            if resizes:
                content.apply(step)
            continue
        share = rng.choice((0.0, 1.0, rng.random(), -rng.random()))
        head = -share * len(step.data)
        at = step.offset
        while at < step.offset + len(step.data):
            end = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, step.offset + len(step.data))
            kept = at - step.offset < head if share < 0 else rng.random() < share
            if kept:
                content.apply(Write(at, step.data[at - step.offset : end - step.offset]))
            at = end
    return content
