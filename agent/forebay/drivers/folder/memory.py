"""What was taken of a folder, and how far: durable over restarts.

Owns two small files of each device: a log with a line for each file that was taken, and the place
in the one that is being taken. Must not know what a file holds. Every call blocks.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.drivers.folder.look import Signature

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from forebay.files import Disk

MAX_LOG_BYTES = 128 << 20
_MAX_PLACE_BYTES = 64 << 10
_WORTH_REWRITING = 1000
"""Lines of files that are gone, beyond which the log is written anew at the start."""


class Taken(NamedTuple):
    """A file as it was taken; `id` is that of its chunks."""

    signature: Signature
    sha256: str
    id: str


class Place(NamedTuple):
    """How far a file is durable: `offset` bytes of it."""

    name: str
    taken: Taken
    offset: int


class Memory:
    """Of one device."""

    def __init__(self, disk: Disk, directory: Path, device: str) -> None:
        """Touch nothing."""
        self._disk, self._directory = disk, directory
        self._log, self._place = directory / f"{device}.taken", directory / f"{device}.place"
        self._known: dict[str, Taken] = {}
        self._lines = self._end = 0
        self.place: Place | None = None
        """Of the file that was being taken when it ended."""

    def load(self) -> None:
        """Read both files. A line that a power cut tore is as if its file were not taken."""
        self._disk.makedirs(self._directory)
        if self._disk.exists(self._log):
            data = self._disk.read_bytes(self._log, MAX_LOG_BYTES)
            whole = data.rfind(b"\n") + 1
            for line in data[:whole].splitlines():
                self._lines += 1
                with contextlib.suppress(ValueError, TypeError, LookupError):
                    name, *rest = json.loads(line)
                    self._known[str(name)] = _taken(rest)
            self._end = whole
        if self._disk.exists(self._place):
            data = self._disk.read_bytes(self._place, _MAX_PLACE_BYTES)
            with contextlib.suppress(ValueError, TypeError, LookupError):
                name, offset, *rest = json.loads(data)
                self.place = Place(str(name), _taken(rest), int(offset))

    def known(self, name: str) -> Taken | None:
        """Give how a file of this name was taken last; None if it never was."""
        return self._known.get(name)

    def forget_all_but(self, names: Iterable[str]) -> None:
        """Forget files that are gone: one of the same name that comes later is another file."""
        there = set(names)
        gone = [name for name in self._known if name not in there]
        for name in gone:
            del self._known[name]
        if self._lines > 2 * len(self._known) + _WORTH_REWRITING:
            lines = b"".join(_line(name, taken) for name, taken in self._known.items())
            self._disk.write_atomic(self._log, lines)
            self._lines, self._end = len(self._known), len(lines)

    def keep(self, name: str, taken: Taken) -> None:
        """Remember that a file is taken whole; durable on return."""
        line = _line(name, taken)
        new = not self._disk.exists(self._log)
        file = self._disk.open(self._log, create=new, write=True)
        try:
            file.pwrite([line], self._end)
            file.truncate(self._end + len(line))
            file.datasync()
        finally:
            file.close()
        if new:
            self._disk.sync_dir(self._directory)
        self._end += len(line)
        self._lines += 1
        self._known[name] = taken

    def reach(self, place: Place) -> None:
        """Remember how far a file is; durable on return."""
        said = [place.name, place.offset, *_plain(place.taken)]
        self._disk.write_atomic(self._place, json.dumps(said).encode())
        self.place = place


def _plain(taken: Taken) -> list[Any]:
    return [*taken.signature, taken.sha256, taken.id]


def _line(name: str, taken: Taken) -> bytes:
    return json.dumps([name, *_plain(taken)]).encode() + b"\n"


def _taken(rest: list[Any]) -> Taken:
    size, mtime_ns, inode, sha256, file_id = rest
    return Taken(Signature(int(size), int(mtime_ns), int(inode)), str(sha256), str(file_id))
