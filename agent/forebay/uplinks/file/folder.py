"""The directory of one uplink's files: their names, their order, how much room there is.

Owns names, the lock and the removal of old files. Must not know what is in a file.

    NAME-0000000012-20261122T055401Z.jsonl.part   is being written; its name goes when it is whole
    NAME-0000000011-20261122T054401Z.jsonl        is finished and never touched again
"""

from __future__ import annotations

import contextlib
import errno
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from forebay.clock import NEVER_SET_NS
from forebay.errors import UplinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.files import Disk, DiskFile

PART = ".part"
NEW = ".new"
_STAMP = "%Y%m%dT%H%M%SZ"


class Name(NamedTuple):
    """A file's name, taken apart: its number among this uplink's files, and when it was begun."""

    number: int
    begun: datetime
    text: str

    @property
    def part(self) -> str:
        """Its name while it is being written."""
        return self.text + PART


class Folder:
    """One uplink's part of a directory. Every call blocks."""

    def __init__(self, path: Path, uplink: str, suffix: str, disk: Disk) -> None:
        """Name the directory; nothing is touched. `suffix` is that of finished files."""
        self.path, self.disk = path, disk
        self._uplink, self._suffix = uplink, suffix
        self._pattern = re.compile(
            rf"({re.escape(uplink)}-(\d{{10}})-(\d{{8}}T\d{{6}}Z){re.escape(suffix)})(|\.part|\.new)"
        )
        self._lock_path = path / f".{uplink}.lock"
        self._lock: DiskFile | None = None

    def open(self) -> None:
        """Make the directory where it is missing, and take it.

        UplinkUnavailable if another process, or a session that has not ended, has it.
        """
        self.disk.makedirs(self.path)
        self._lock = self.disk.lock(self._lock_path)
        if self._lock is None:
            raise UplinkUnavailable(
                f"another process writes the files of {self._uplink!r} in {self.path}",
                hint="give each gateway a directory of its own",
            )
        # A session that failed may have left a name that is seen here and not yet durable.
        self.disk.sync_dir(self.path)

    def look(self) -> None:
        """Raise UplinkUnavailable if the directory is not there any more."""
        if not self.disk.exists(self._lock_path):
            raise UplinkUnavailable(
                f"{self.path} is not the directory that it was",
                hint="look whether it was removed, or is mounted; it is tried again by itself",
            )

    def close(self) -> None:
        """Let go of the directory."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.close()

    def name(self, number: int, now_ns: int) -> Name:
        """Make the name of file `number`, begun at wall time `now_ns`."""
        begun = datetime.fromtimestamp(now_ns // 10**9, UTC)
        text = f"{self._uplink}-{number:010d}-{begun.strftime(_STAMP)}{self._suffix}"
        return Name(number, begun, text)

    def finished(self) -> list[Name]:
        """Give the finished files, oldest first."""
        return [name for name, ending in self._names() if not ending]

    def parts(self) -> list[Name]:
        """Give the files that have not got their last name, oldest first."""
        return [name for name, ending in self._names() if ending == PART]

    def leftovers(self, ending: str) -> list[str]:
        """Give the names of finished files that have one more `ending`, oldest first."""
        return [
            text
            for text in self.disk.listdir(self.path)
            if text.endswith(ending) and self._pattern.fullmatch(text.removesuffix(ending))
        ]

    def sweep(self) -> None:
        """Remove files that were never begun."""
        for name, ending in list(self._names()):
            if ending == NEW:
                self.disk.unlink(self.path / (name.text + NEW))

    def finish(self, name: Name) -> None:
        """Give a whole file its last name, durable on return."""
        self.disk.rename(self.path / name.part, self.path / name.text)
        self.disk.sync_dir(self.path)

    def make_room(self, need: int, min_free: int) -> None:
        """Raise UplinkUnavailable if `need` bytes more would leave less than `min_free`."""
        free = self.disk.free_bytes(self.path)
        if free - need < min_free:
            raise UplinkUnavailable(
                f"the disk of {self.path} is full: {free >> 20} MiB are free, "
                f"{min_free >> 20} MiB stay so",
                hint="take finished files away, or let keep_size or keep_age delete them",
            )

    def prune(self, now_ns: int | None, keep_size: int | None, keep_age_s: float | None) -> int:
        """Delete finished files, oldest first, until both bounds hold; give how many went.

        None bounds nothing. `now_ns` is what `AgeClock` believes, None: nothing is old. A file that
        began while the clock was not set is as old as the next one that has a time.
        """
        if keep_size is None and keep_age_s is None:
            return 0
        names = self.finished()
        sizes = {name: self.disk.size(self.path / name.text) for name in names}
        total, gone = sum(sizes.values()), 0
        for number, name in enumerate(names):
            too_old = False
            if keep_age_s is not None and now_ns is not None:
                begun_ns = next(filter(NEVER_SET_NS.__le__, map(_begun_ns, names[number:])), now_ns)
                too_old = now_ns - begun_ns > keep_age_s * 1e9
            if not too_old and (keep_size is None or total <= keep_size):
                break
            self.disk.unlink(self.path / name.text)
            total -= sizes[name]
            gone += 1
        return gone

    def _names(self) -> Iterator[tuple[Name, str]]:
        for text in self.disk.listdir(self.path):
            match = self._pattern.fullmatch(text)
            if match is not None:
                begun = datetime.strptime(match[3], _STAMP).replace(tzinfo=UTC)
                yield Name(int(match[2]), begun, match[1]), match[4]


def _begun_ns(name: Name) -> int:
    return round(name.begun.timestamp()) * 10**9


def unavailable(error: OSError, path: Path) -> UplinkUnavailable:
    """Give what a refusal of the disk means to a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UplinkUnavailable(
            f"the disk of {path} is full: {error.strerror}",
            hint="take finished files away, or let keep_size or keep_age delete them",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UplinkUnavailable(
            f"files in {path} cannot be written: {error.strerror}",
            hint="give the agent's user the right to write there, or name another directory",
        )
    return UplinkUnavailable(
        f"files in {path} cannot be written: {error}",
        hint="look at the disk, and whether it is mounted; it is tried again by itself",
    )
