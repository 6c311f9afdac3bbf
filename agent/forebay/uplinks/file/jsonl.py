"""Lines of JSON in files that rotate: a record is durable as soon as its group is flushed.

Owns the order of writes and flushes. Every file begins with the account of all that came before it,
and each group proves itself, so that the newest file alone says what is here. Must not know the
event loop. Every call blocks; all come from one thread at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import UplinkUnavailable
from forebay.uplinks.file import lines
from forebay.uplinks.file.book import Book
from forebay.uplinks.file.folder import NEW

if TYPE_CHECKING:
    from forebay.clock import Clock
    from forebay.files import DiskFile
    from forebay.interfaces import Offer
    from forebay.model import Position
    from forebay.uplinks.file.config import FileSettings
    from forebay.uplinks.file.folder import Folder, Name
    from forebay.uplinks.file.store import Epoch, Row

SUFFIX = ".jsonl"
_CHUNK_BYTES = 4 << 20
_MAX_HEADER_BYTES = 16 << 20


class JsonlStore:
    """Implements `store.Store`."""

    def __init__(self, folder: Folder, settings: FileSettings, clock: Clock) -> None:
        """Touch nothing."""
        self._folder, self._settings, self._clock = folder, settings, clock
        self._file: DiskFile | None = None
        self._begun_s: float | None = None
        self._end = 0
        self._waiting: dict[Position, int] = {}

    def open(self, offer: Offer, uplink: str, incarnation: str) -> Book:
        """See `Store.open`."""
        folder = self._folder
        folder.sweep()
        parts = folder.parts()
        for name in parts[:-1]:
            folder.finish(name)  # its successor exists, so it was whole
        going_on = self._go_on(parts[-1]) if parts else None
        book = going_on or self._newest() or Book.first(offer, uplink, incarnation)
        book.check(offer.gateway, folder.path)
        self._book = book
        if going_on is None:
            self._begin()
        return book

    def append(self, row: Row) -> None:
        """See `Store.append`: written in one piece, not yet flushed."""
        data = lines.group(row)
        self._folder.make_room(len(data), self._settings.min_free)
        self._opened().pwrite([data], self._end)
        self._end += len(data)
        self._waiting[row.record.position] = row.first_seq

    def commit(self, *, last: bool = False) -> set[Epoch]:
        """See `Store.commit`: one flush for all that was appended."""
        if last:
            self._opened().truncate(self._end)
        else:
            self._look()
        if not self._waiting:
            return set()
        self._opened().datasync()
        if self._begun_s is None:
            self._begun_s = self._clock.monotonic_s()
        touched: set[Epoch] = set()
        for (stream, epoch, seq), first in self._waiting.items():
            self._book.account.add(stream, epoch, first, seq)
            touched.add((stream, epoch))
        self._waiting.clear()
        if self._end >= self._settings.max_size and not last:
            self._rotate()
        return touched

    def tick(self) -> set[Epoch]:
        """See `Store.tick`."""
        self._look()
        age_s = 0.0 if self._begun_s is None else self._clock.monotonic_s() - self._begun_s
        if age_s >= self._settings.max_age:
            self._rotate()
        return set()

    def holds(self, position: Position, first_seq: int) -> bool:
        """See `Store.holds`."""
        if self._waiting.get(position, first_seq + 1) <= first_seq:
            return True
        return self._book.account.runs(*position[:2]).covers(first_seq, position.seq)

    def close(self) -> None:
        """See `Store.close`. What is not flushed is cut off at the next opening."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> DiskFile:
        assert self._file is not None, "a store that is not open"
        return self._file

    def _look(self) -> None:
        """Raise UplinkUnavailable if the file under our hands is not the one in the directory."""
        file, disk = self._opened(), self._folder.disk
        if not disk.exists(file.path) or disk.size(file.path) != file.size():
            raise UplinkUnavailable(
                f"{file.path} was moved or removed while it was written",
                hint="take away finished files only: those without .part",
            )

    def _rotate(self) -> None:
        file, name = self._opened(), self._name
        self._begin()
        file.close()
        self._folder.finish(name)

    def _begin(self) -> None:
        """Begin the next file with the account of all before it; it is durable on return."""
        folder, book = self._folder, self._book
        book.number += 1
        name = folder.name(book.number, self._clock.now_ns())
        file = folder.disk.open(folder.path / (name.text + NEW), create=True)
        try:
            header = f"{book.text()}\n".encode()
            file.pwrite([header], 0)
            file.datasync()
        finally:
            file.close()
        folder.disk.rename(folder.path / (name.text + NEW), folder.path / name.part)
        folder.disk.sync_dir(folder.path)
        self._take(name, len(header))

    def _take(self, name: Name, end: int) -> None:
        self._file = self._folder.disk.open(self._folder.path / name.part, write=True)
        self._name, self._end, self._begun_s = name, end, None

    def _go_on(self, name: Name) -> Book | None:
        """Open the file that was being written, without its torn end; None if it has no account.

        Everything that is kept is written again and flushed: after a flush that failed, the
        kernel may show bytes that it never brings to the disk.
        """
        disk, path = self._folder.disk, self._folder.path / name.part
        file = disk.open(path, write=True)
        try:
            found = self._read(file, again=True)
            if found is None:
                file.close()
                disk.rename(path, path.with_name(name.text + ".bad"))
                disk.sync_dir(self._folder.path)
                return None
            book, end = found
            file.truncate(end)
            file.datasync()
        except BaseException:
            file.close()
            raise
        file.close()
        self._take(name, end)
        self._begun_s = self._clock.monotonic_s()
        return book

    def _newest(self) -> Book | None:
        """Give the account behind the newest finished file; None if there is none to be read."""
        for name in reversed(self._folder.finished()):
            file = self._folder.disk.open(self._folder.path / name.text)
            try:
                found = self._read(file, again=False)
            finally:
                file.close()
            if found is not None:
                return found[0]
        return None

    def _read(self, file: DiskFile, *, again: bool) -> tuple[Book, int] | None:
        """Give the account behind all whole groups and where they end; None without a header.

        `again` writes what was read back to its place.
        """
        data = file.pread(min(_MAX_HEADER_BYTES, file.size()), 0)
        header = data[: data.find(b"\n") + 1]
        try:
            book = Book.of(header)
        except ValueError:
            return None
        end, data = len(header), b""
        if again:
            file.pwrite([header], 0)
        while chunk := file.pread(_CHUNK_BYTES, end + len(data)):
            data += chunk
            done = 0
            for commit in lines.scan(data, 0):
                stream, epoch, seq = commit.position
                book.account.add(stream, epoch, commit.first_seq, seq)
                done = commit.end
            if again and done:
                file.pwrite([data[:done]], end)
            end, data = end + done, data[done:]
        return book, end
