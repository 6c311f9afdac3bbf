"""What the journal does about a full disk.

A full disk must not keep the journal from making room on it. Owns the ballast, a file that holds
nothing and is given up first, and the order of what comes after it. Runs on the writer thread
(before that thread runs, on recovery's). Must not know records.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from forebay.events import DISK_FULL, DISK_HAS_ROOM
from forebay.files import no_space
from forebay.journal.appender import NoRoom

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.files import Disk
    from forebay.journal.appender import Appender
    from forebay.journal.retainer import Retainer
    from forebay.journal.writer import Told
    from forebay.model import Stream

NAME = "ballast"
BALLAST_BYTES_MOST = 32 << 20
_SHARE = 32
HINT = "free some space or files on the journal's disk, or lower [journal] max_size"
RELIEF_EVERY_S = 60.0
"""Where others took the room that dropping old data gave, how long until more is dropped: a disk
that others fill must not cost the whole backlog."""
_OTHERS_SHARE = 8
"""Others took it: an eighth of what went, or more."""


def ballast_bytes(max_bytes: int) -> int:
    """Give the ballast's size for a journal of at most `max_bytes`; it comes on top of these."""
    return min(BALLAST_BYTES_MOST, max_bytes // _SHARE)


class Ballast:
    """The file. All calls block; OSError if the disk refuses other than for want of room."""

    def __init__(self, directory: Path, size: int, disk: Disk) -> None:
        """Keep `size` bytes in `directory`; nothing is touched yet."""
        self._path, self._size, self._disk = directory / NAME, size, disk
        self.whole = False
        """Whether it is there to be given up."""

    @property
    def size(self) -> int:
        """Bytes that it holds when it is whole."""
        return self._size

    def make(self) -> bool:
        """Take the room, unless it is taken; give whether there was enough."""
        if self.whole:
            return True
        try:
            if self._disk.exists(self._path):
                if self._disk.size(self._path) == self._size:
                    self.whole = True
                    return True
                self._disk.unlink(self._path)
            file = self._disk.open(self._path, create=True)
            try:
                file.allocate(self._size)
                file.datasync()
            finally:
                file.close()
            self._disk.sync_dir(self._path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._disk.unlink(self._path)
            if not no_space(error):
                raise
            return False
        self.whole = True
        return True

    def release(self) -> bool:
        """Give the room, and the file itself, back to the disk; False if there is nothing to."""
        self.whole = False
        if not self._disk.exists(self._path):
            return False
        self._disk.unlink(self._path)
        self._disk.sync_dir(self._path.parent)
        return True


class _Relief(NamedTuple):
    """The last time that data was dropped: when, `_shared_bytes` before it, and how much went."""

    at_s: float
    shared_bytes: int
    dropped_bytes: int


class Room:
    """Finds room when a segment cannot be made, and puts everything back when there is some."""

    def __init__(
        self,
        ballast: Ballast,
        retainer: Retainer,
        logs: Mapping[Stream, Appender],
        seams: tuple[Disk, Clock],
        told: Told,
        *,
        directory: Path,
        segment_bytes: int,
    ) -> None:
        """Give up `ballast`, then what `retainer` may drop; `logs` make do with less meanwhile."""
        self._ballast, self._retainer, self._logs = ballast, retainer, logs
        self._disk, self._clock = seams
        self._told, self._directory = told, directory
        self._need_bytes = ballast.size + 2 * segment_bytes
        self._relief = _Relief(-RELIEF_EVERY_S, 0, 0)
        self._short = self._mended = False

    @property
    def scarce(self) -> bool:
        """Whether the disk was full and not everything is as before."""
        return not self._ballast.whole

    def look(self) -> None:
        """Have retention make do with what the disk has for the journal now."""
        with contextlib.suppress(OSError):  # who cannot look goes on as before
            free = self._disk.free_bytes(self._directory)
            whole = self._ballast.size if self._ballast.whole else 0
            self._retainer.fit(free, self._ballast.size - whole)

    def find(self, *, may_drop: bool) -> bool:
        """Do what can be done about a full disk; give whether it may be worth another try.

        OSError if the disk refuses other than for want of room.
        """
        if not self._short:
            self._short, self._mended = True, False
            self._told.happened(DISK_FULL, {"free_bytes": self.free_bytes(), "hint": HINT})
        for log in self._logs.values():
            log.cramped = True
        released = self._ballast.release()
        return self._drop(may_drop=may_drop) or released

    def mend(self, *, may_drop: bool) -> None:
        """Make the ballast whole again as soon as there is room for it. OSError as `find`."""
        if self._ballast.whole:
            return
        if self._short and self.free_bytes() < self._need_bytes and not self._mended:
            self._mended = self._drop(may_drop=may_drop)
        if self.free_bytes() < (self._need_bytes if self._short else self._ballast.size):
            return
        if self._ballast.make():
            for log in self._logs.values():
                log.cramped = False
            if self._short:
                self._short = False
                self._told.happened(DISK_HAS_ROOM, {"free_bytes": self.free_bytes()})

    def free_bytes(self) -> int:
        """Give what is free on the disk, 0 if nobody can say."""
        try:
            return self._disk.free_bytes(self._directory)
        except OSError:
            return 0

    def _drop(self, *, may_drop: bool) -> bool:
        """Drop the oldest data, unless others have taken the room that the last time gave."""
        now_s, shared = self._clock.monotonic_s(), self._shared_bytes()
        last = self._relief
        taken = last.shared_bytes - shared > last.dropped_bytes // _OTHERS_SHARE
        if not may_drop or (taken and now_s - last.at_s < RELIEF_EVERY_S):
            return False
        try:
            dropped = self._retainer.relieve(self._need_bytes)
        except NoRoom:  # not even for the gap that would account for it
            return False
        if dropped:
            self._relief = _Relief(now_s, shared, dropped)
        return dropped > 0

    def _shared_bytes(self) -> int:
        """Give what the journal has of the disk and what is free: it shrinks as others take it."""
        held = self._retainer.held_bytes() + (self._ballast.size if self._ballast.whole else 0)
        return held + self.free_bytes()
