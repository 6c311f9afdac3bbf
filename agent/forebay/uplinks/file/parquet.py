"""Columns in Parquet files that rotate: a record is durable when its file is finished.

Owns the order of writes and flushes, and the columns. The account lies beside the files, replaced
in one piece after a file is whole and flushed: that replacement is what makes its records durable,
whether or not the file has its last name yet. Must not know the event loop. Every call blocks; all
come from one thread at a time.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from forebay.errors import UplinkUnavailable
from forebay.uplinks.file.book import Book
from forebay.uplinks.file.columns import SCHEMA, note_columns, sample_columns
from forebay.uplinks.file.store import CREDIT_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

    from forebay.clock import Clock
    from forebay.files import DiskFile
    from forebay.interfaces import Offer
    from forebay.model import Position
    from forebay.uplinks.file.config import FileSettings
    from forebay.uplinks.file.folder import Folder
    from forebay.uplinks.file.store import Epoch, Row

SUFFIX = ".parquet"
GROUP_ROWS = 1 << 16
GROUP_BYTES = 32 << 20
"""What is collected in memory, in rows or bytes of Arrow columns, and written as one row group."""
MAX_RECORDS = 8192
"""Records in one file: the forwarder holds no more than 16,384 that are not acknowledged."""
_MAX_BOOK_BYTES = 16 << 20
_META = b"forebay"
_LOOK_AT = 3


class Sink(io.RawIOBase):
    """Where pyarrow writes: a file behind the disk seam, which keeps the first refusal."""

    def __init__(self, file: DiskFile) -> None:
        """Write to `file` from its beginning."""
        super().__init__()
        self.file, self.written = file, 0
        self.refused: BaseException | None = None

    def writable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Give the bytes written."""
        return self.written

    def write(self, data: object) -> int:
        """Append `data`; after a refusal swallow it, because the file will be thrown away."""
        view = memoryview(data)  # type: ignore[arg-type]
        size = view.nbytes
        if self.refused is None:
            try:
                self.file.pwrite([view.cast("B")], self.written)
            except OSError as error:
                self.refused = error
        self.written += size
        return size


class Source(io.RawIOBase):
    """Where pyarrow reads: a file behind the disk seam."""

    def __init__(self, file: DiskFile) -> None:
        """Read `file` from its beginning."""
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Give the place of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size()}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, all if it is negative."""
        data = self._file.pread(size if size >= 0 else self._file.size() - self._at, self._at)
        self._at += len(data)
        return data


class ParquetStore:
    """Implements `store.Store`."""

    def __init__(self, folder: Folder, settings: FileSettings, clock: Clock) -> None:
        """Touch nothing."""
        self._folder, self._settings, self._clock = folder, settings, clock
        self._sink: Sink | None = None
        self._writer: pq.ParquetWriter | None = None
        self._begun_s: float | None = None
        self._waiting: dict[Position, int] = {}
        self._payload_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def open(self, offer: Offer, uplink: str, incarnation: str) -> Book:
        """See `Store.open`."""
        folder = self._folder
        self._path = folder.path / f".{uplink}.account"
        book = self._kept() or self._newest() or Book.first(offer, uplink, incarnation)
        book.check(offer.gateway, folder.path)
        folder.sweep()
        for name in folder.parts():
            if name.text == book.finishing:
                folder.finish(name)
            else:
                folder.disk.unlink(folder.path / name.part)
        # Written anew each time: after a flush that failed, the kernel may show an account that
        # it never brings to the disk.
        book.finishing = ""
        self._book = book
        self._keep(book)
        return book

    def append(self, row: Row) -> None:
        """See `Store.append`: in memory until there is a row group of it."""
        self._folder.make_room(len(row.record.payload), self._settings.min_free)
        if self._writer is None:
            self._begin()
        if row.found is not None:
            self._put(sample_columns(row, row.found))
        if row.note is not None or row.refused:
            self._put(note_columns(row))
        self._waiting[row.record.position] = row.first_seq
        self._payload_bytes += len(row.record.payload)
        if self._rows >= GROUP_ROWS or self._bytes >= min(self._settings.max_size, GROUP_BYTES):
            self._write()

    def commit(self, *, last: bool = False) -> set[Epoch]:
        """See `Store.commit`: only a finished file is durable."""
        sink = self._sink
        if sink is None or sink.refused is not None or not self._waiting:
            return set()
        full = (
            last
            or sink.written >= self._settings.max_size
            or len(self._waiting) >= MAX_RECORDS
            or self._payload_bytes >= CREDIT_BYTES // 2
        )
        return self._finish() if full else set()

    def tick(self) -> set[Epoch]:
        """See `Store.tick`."""
        age_s = 0.0 if self._begun_s is None else self._clock.monotonic_s() - self._begun_s
        return self._finish() if age_s >= self._settings.max_age else set()

    def holds(self, position: Position, first_seq: int) -> bool:
        """See `Store.holds`."""
        if self._waiting.get(position, first_seq + 1) <= first_seq:
            return True
        return self._book.account.runs(*position[:2]).covers(first_seq, position.seq)

    def close(self) -> None:
        """See `Store.close`. Finishes the file if it can, so that nothing of it comes again."""
        with contextlib.suppress(OSError, UplinkUnavailable):
            if self._sink is not None and self._sink.refused is None and self._waiting:
                self._finish()
        self._drop()

    def _kept(self) -> Book | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return Book.of(self._folder.disk.read_bytes(self._path, _MAX_BOOK_BYTES))
        return None

    def _newest(self) -> Book | None:
        """Give the account that the newest finished file carries; None if none can be read."""
        for name in reversed(self._folder.finished()[-_LOOK_AT:]):
            file = self._folder.disk.open(self._folder.path / name.text)
            with contextlib.closing(file), contextlib.suppress(OSError, ValueError, KeyError):
                meta = pq.ParquetFile(Source(file)).metadata.metadata or {}
                return Book.of(meta[_META])
        return None

    def _keep(self, book: Book) -> None:
        self._folder.disk.write_atomic(self._path, book.text().encode())

    def _begin(self) -> None:
        folder = self._folder
        self._name = folder.name(self._book.number + 1, self._clock.now_ns())
        file = folder.disk.open(folder.path / self._name.part, create=True)
        self._sink = Sink(file)
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")
        self._begun_s = self._clock.monotonic_s()

    def _put(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def _write(self) -> None:
        """Write what was collected as one row group; OSError if the disk refused."""
        import pyarrow as pa

        assert self._writer is not None, "a row group without a file"
        batches, self._batches = self._batches, []
        self._rows = self._bytes = 0
        if batches:
            self._writer.write_table(pa.Table.from_batches(batches, SCHEMA), GROUP_ROWS * 4)
        self._check()

    def _check(self) -> None:
        if self._sink is not None and self._sink.refused is not None:
            raise self._sink.refused

    def _finish(self) -> set[Epoch]:
        """Finish the file, and begin no other before there is something for it."""
        try:
            return self._settle()
        finally:
            self._drop()

    def _settle(self) -> set[Epoch]:
        """Make the file whole and durable, then the account that counts it, then its name."""
        sink, writer, folder = self._sink, self._writer, self._folder
        assert sink is not None, "a file to finish"
        assert writer is not None, "a file to finish"
        if not folder.disk.exists(sink.file.path):
            raise UplinkUnavailable(
                f"{sink.file.path} was moved or removed while it was written",
                hint="take away finished files only: those without .part",
            )
        self._write()
        after = Book.of(self._book.text())
        touched: set[Epoch] = set()
        for (stream, epoch, seq), first in self._waiting.items():
            after.account.add(stream, epoch, first, seq)
            touched.add((stream, epoch))
        after.number += 1
        writer.add_key_value_metadata({_META: after.text()})
        writer.close()
        self._check()
        sink.file.datasync()
        folder.disk.sync_dir(folder.path)
        after.finishing = self._name.text
        self._keep(after)
        self._book.account, self._book.number = after.account, after.number
        folder.finish(self._name)
        return touched

    def _drop(self) -> None:
        """Forget the file under our hands; if it is not finished, the next opening removes it."""
        sink, writer = self._sink, self._writer
        self._sink = self._writer = self._begun_s = None
        self._waiting, self._batches = {}, []
        self._rows = self._bytes = self._payload_bytes = 0
        if sink is not None:
            sink.refused = sink.refused or OSError("given up")
            if writer is not None:
                writer.close()
            sink.file.close()
