"""One Parquet file in the making, behind the disk seam.

Owns row groups and the file's end. Must not know rotation, spools or names.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from forebay.uplinks.file.columns import SCHEMA, note_columns, sample_columns

if TYPE_CHECKING:
    from forebay.files import DiskFile
    from forebay.uplinks.file.book import Book
    from forebay.uplinks.file.store import Row

GROUP_ROWS = 1 << 16
GROUP_BYTES = 32 << 20
"""What is collected in memory, in rows or bytes of Arrow columns, and written as one row group."""
META = b"forebay"
"""The key of the account in a file's metadata."""


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


class Table:
    """The file. After an OSError it is good for `drop` only."""

    def __init__(self, file: DiskFile, max_group_bytes: int) -> None:
        """Write to `file`, which is empty, in row groups of at most `max_group_bytes`."""
        self._sink = Sink(file)
        self._writer: pq.ParquetWriter | None = None
        self._most = min(max_group_bytes, GROUP_BYTES)
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._open = True

    @property
    def written(self) -> int:
        """Bytes written so far."""
        return self._sink.written

    def put(self, row: Row) -> None:
        """Take in the rows of a record."""
        if row.found is not None:
            self._collect(sample_columns(row, row.found))
        if row.note is not None or row.refused:
            self._collect(note_columns(row))
        if self._rows >= GROUP_ROWS or self._bytes >= self._most:
            self._write()

    def finish(self, book: Book) -> None:
        """Write the rest and the end, with the account in it; durable on return."""
        self._write()
        writer = self._opened()
        writer.add_key_value_metadata({META: book.text()})
        writer.close()
        self._check()
        self._sink.file.datasync()
        self._writer, self._open = None, False
        self._sink.file.close()

    def drop(self) -> None:
        """Let go of the file; it is whole only after `finish`."""
        if not self._open:
            return
        self._open, self._batches = False, []
        writer, self._writer = self._writer, None
        self._sink.refused = self._sink.refused or OSError("given up")
        if writer is not None:
            writer.close()
        self._sink.file.close()

    def _opened(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")
        return self._writer

    def _collect(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def _write(self) -> None:
        """Write what was collected as one row group; OSError if the disk refused."""
        batches, self._batches = self._batches, []
        self._rows = self._bytes = 0
        if batches:
            table = pa.Table.from_batches(batches, SCHEMA)
            self._opened().write_table(table, row_group_size=table.num_rows)
        self._check()

    def _check(self) -> None:
        if self._sink.refused is not None:
            raise self._sink.refused
