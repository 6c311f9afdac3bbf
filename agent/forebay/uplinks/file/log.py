"""Groups in files that rotate: a record is durable as soon as its group is flushed.

Owns the order of writes and flushes. Every file begins with the account of all that came before it,
and each group proves itself, so that the newest file alone says what is here. Must not know what a
group says, nor the event loop. Every call blocks; all come from one thread at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import UplinkUnavailable
from forebay.uplinks.file import lines
from forebay.uplinks.file.book import Book
from forebay.uplinks.file.folder import NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forebay.clock import Clock
    from forebay.files import DiskFile
    from forebay.model import Position
    from forebay.uplinks.file.folder import Folder, Name
    from forebay.uplinks.file.store import Epoch

    Replay = Callable[[bytes, Position], None]

_CHUNK_BYTES = 4 << 20
_MAX_HEADER_BYTES = 16 << 20


class Log:
    """The files of one folder, of which the newest is open."""

    def __init__(self, folder: Folder, clock: Clock) -> None:
        """Touch nothing."""
        self._folder, self._clock = folder, clock
        self._file: DiskFile | None = None
        self._begun_s: float | None = None
        self._end = 0
        self._waiting: dict[Position, int] = {}

    @property
    def name(self) -> Name:
        """The file that is being written."""
        return self._name

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._end

    @property
    def begun(self) -> bool:
        """Whether it has a record."""
        return self._begun_s is not None

    @property
    def age_s(self) -> float:
        """Seconds since it got its first record; 0 before."""
        return 0.0 if self._begun_s is None else self._clock.monotonic_s() - self._begun_s

    def open(self, first: Callable[[], Book], gateway: str, replay: Replay) -> Book:
        """Find what is here, cut off what is torn, and go on; give the account, which stays ours.

        `first` makes the account where there is none. `replay` gets each whole group of the file
        that goes on. UplinkMisbehaved if these are the files of another than `gateway`.
        """
        folder = self._folder
        folder.sweep()
        parts = folder.parts()
        for name in parts[:-1]:
            folder.finish(name)  # its successor exists, so it was whole
        going_on = self._go_on(parts[-1], replay) if parts else None
        book = going_on or self._newest() or first()
        book.check(gateway, folder.path)
        self._book = book
        if going_on is None:
            self._begin()
        return book

    def write(self, data: bytes, position: Position, first_seq: int) -> None:
        """Append the group of a record, which settles all from `first_seq`; not yet flushed."""
        self._opened().pwrite([data], self._end)
        self._end += len(data)
        self._waiting[position] = first_seq

    def flush(self, *, last: bool = False) -> set[Epoch]:
        """Make durable what was written; give the epochs of which the account has more.

        After a refusal this is the `last` call but `close`: what was written in part is cut off.
        """
        if last:
            self._opened().truncate(self._end)
        else:
            self.look()
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
        return touched

    def holds(self, position: Position, first_seq: int) -> bool:
        """Whether all from `first_seq` up to `position` is settled here, durable or not."""
        if self._waiting.get(position, first_seq + 1) <= first_seq:
            return True
        return self._book.account.runs(*position[:2]).covers(first_seq, position.seq)

    def close(self) -> None:
        """Let go of the file. What is not flushed is cut off at the next opening."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def look(self) -> None:
        """Raise UplinkUnavailable if the file under our hands is not the one in the directory."""
        file, disk = self._opened(), self._folder.disk
        if not disk.exists(file.path) or disk.size(file.path) != file.size():
            raise UplinkUnavailable(
                f"{file.path} was moved or removed while it was written",
                hint="take away finished files only: those without .part",
            )

    def rotate(self) -> Name:
        """Begin the next file, then give the last one its name; give that."""
        file, name = self._opened(), self._name
        self._begin()
        file.close()
        self._folder.finish(name)
        return name

    def groups(self, name: Name) -> Iterator[bytes]:
        """Give the whole groups of a finished file."""
        file = self._folder.disk.open(self._folder.path / name.text)
        found: list[bytes] = []
        try:
            self._read(file, lambda data, _: found.append(data), again=False)
        finally:
            file.close()
        return iter(found)

    def _opened(self) -> DiskFile:
        assert self._file is not None, "a store that is not open"
        return self._file

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

    def _go_on(self, name: Name, replay: Replay) -> Book | None:
        """Open the file that was being written, without its torn end; None if it has no account.

        Everything that is kept is written again and flushed: after a flush that failed, the
        kernel may show bytes that it never brings to the disk.
        """
        disk, path = self._folder.disk, self._folder.path / name.part
        file = disk.open(path, write=True)
        try:
            found = self._read(file, replay, again=True)
            if found is None:
                file.close()
                disk.rename(path, path.with_name(name.text + ".bad"))
                disk.sync_dir(self._folder.path)
                return None
            book, header, end = found
            file.truncate(end)
            file.datasync()
        except BaseException:
            file.close()
            raise
        file.close()
        self._take(name, end)
        if end > header:
            age_s = self._clock.now_ns() / 1e9 - name.begun.timestamp()
            self._begun_s = self._clock.monotonic_s() - max(age_s, 0.0)
        return book

    def _newest(self) -> Book | None:
        """Give the account behind the newest finished file; None if there is none to be read."""
        for name in reversed(self._folder.finished()):
            file = self._folder.disk.open(self._folder.path / name.text)
            try:
                found = self._read(file, _ignore, again=False)
            finally:
                file.close()
            if found is not None:
                return found[0]
        return None

    def _read(self, file: DiskFile, replay: Replay, *, again: bool) -> tuple[Book, int, int] | None:
        """Give the account behind all whole groups, where they begin and end; None if it has none.

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
                replay(data[done : commit.end], commit.position)
                done = commit.end
            if again and done:
                file.pwrite([data[:done]], end)
            end, data = end + done, data[done:]
        return book, len(header), end


def _ignore(data: bytes, position: Position) -> None:
    """Look at nothing."""
