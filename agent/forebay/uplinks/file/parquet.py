"""Columns in Parquet files that rotate, and beside each a spool: the log that makes it sure.

Owns the order of writes and flushes. A Parquet file is nothing before its end is written, so a
record goes into the spool first and is durable there; the columns are written along with it, and
after a crash again from it. A finished file takes the place of its spool in three steps:

    X.parquet.part is whole and flushed, X.spool is finished      (else: the file is made again)
    X.spool becomes X.spool.done                                   the moment
    X.parquet.part becomes X.parquet, X.spool.done goes            (else: the rest is done again)

Must not know the event loop. Every call blocks; all come from one thread at a time.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from forebay.errors import UplinkUnavailable
from forebay.uplinks.file.book import Book
from forebay.uplinks.file.folder import PART, Folder
from forebay.uplinks.file.log import Log
from forebay.uplinks.file.spool import Spooler
from forebay.uplinks.file.table import META, Source, Table

if TYPE_CHECKING:
    from forebay.clock import Clock
    from forebay.files import Disk
    from forebay.interfaces import Offer
    from forebay.model import Position
    from forebay.uplinks.file.config import FileSettings
    from forebay.uplinks.file.folder import Name
    from forebay.uplinks.file.store import Epoch, Row

SUFFIX = ".parquet"
SPOOL = ".spool"
DONE = ".done"
_LOOK_AT = 3


class ParquetStore:
    """Implements `store.Store`."""

    def __init__(self, uplink: str, settings: FileSettings, disk: Disk, clock: Clock) -> None:
        """Touch nothing."""
        self.folder = Folder(settings.directory, uplink, SUFFIX, disk)
        self._spools = Folder(settings.directory, uplink, SPOOL, disk)
        self._uplink, self._settings = uplink, settings
        self._log, self._spooler = Log(self._spools, clock), Spooler()
        self._table: Table | None = None
        self._kept: list[Row] = []
        self._agree = False

    def open(self, offer: Offer, incarnation: str) -> Book:
        """See `Store.open`. What the last file had is made anew from its spool."""
        self._end_moments()
        book = self._log.open(
            lambda: self._newest() or Book.first(offer, self._uplink, incarnation),
            offer.gateway,
            lambda group, _: self._kept.append(self._spooler.row(group)),
        )
        self._book = book
        for name in self._spools.finished():
            self._convert(name)
        kept, self._kept = self._kept, []
        for row in kept:
            self._put(row)
        self._agree = True
        return book

    def append(self, row: Row) -> None:
        """See `Store.append`."""
        self._agree = False  # until the spool is flushed, the file has more than is durable
        data = self._spooler.group(row)
        self.folder.make_room(2 * len(data), self._settings.min_free)
        self._log.write(data, row.record.position, row.first_seq)
        self._put(row)

    def commit(self, *, last: bool = False) -> set[Epoch]:
        """See `Store.commit`: one flush of the spool."""
        touched = self._log.flush(last=last)
        self._agree = not last
        written = self._table.written if self._table else 0
        if max(self._log.size, written) >= self._settings.max_size and not last:
            self._rotate()
        return touched

    def tick(self) -> None:
        """See `Store.tick`."""
        self._log.look()
        if self._log.age_s >= self._settings.max_age:
            self._rotate()

    def holds(self, position: Position, first_seq: int) -> bool:
        """See `Store.holds`."""
        return self._log.holds(position, first_seq)

    def close(self) -> None:
        """See `Store.close`. Finishes the file if it can; else it is made again from its spool."""
        with contextlib.suppress(OSError, UplinkUnavailable):
            if self._agree and self._table is not None and self._log.begun:
                self._rotate()
        if self._table is not None:
            self._table.drop()
            self._table = None
        self._log.close()

    def _put(self, row: Row) -> None:
        if self._table is None:
            self._table = self._begin(self._log.name)
        self._table.put(row)

    def _begin(self, spool: Name) -> Table:
        """Begin the Parquet file that belongs to a spool."""
        part = self.folder.path / (spool.text.removesuffix(SPOOL) + SUFFIX + PART)
        if self.folder.disk.exists(part):
            self.folder.disk.unlink(part)
        return Table(self.folder.disk.open(part, create=True), self._settings.max_size)

    def _rotate(self) -> None:
        """Finish the file, begin the next spool, and let the file take the last one's place."""
        if self._table is None:
            self._table = self._begin(self._log.name)
        table, self._table = self._table, None
        try:
            table.finish(self._book)
        finally:
            table.drop()
        name = self._log.rotate()
        self._spooler = Spooler()
        self._replace(name)

    def _convert(self, name: Name) -> None:
        """Make the file of a finished spool, from its first group on."""
        table, spooler = self._begin(name), Spooler()
        try:
            for group in self._log.groups(name):
                table.put(spooler.row(group))
            table.finish(self._book)
        finally:
            table.drop()
        self._replace(name)

    def _replace(self, spool: Name) -> None:
        """Let a finished spool's file, which is whole and flushed, take its place."""
        disk, path = self.folder.disk, self.folder.path
        disk.sync_dir(path)
        disk.rename(path / spool.text, path / (spool.text + DONE))
        disk.sync_dir(path)
        self._end_moment(spool.text + DONE)

    def _end_moments(self) -> None:
        """Finish what a crash left between the moment and its end; forget files in the making."""
        ours = [name.text for name in self.folder.parts()]
        done = self._spools.leftovers(DONE)
        whole = {text.removesuffix(SPOOL + DONE) + SUFFIX for text in done}
        for text in ours:
            if text not in whole:
                self.folder.disk.unlink(self.folder.path / (text + PART))
        for text in done:
            self._end_moment(text)

    def _end_moment(self, done: str) -> None:
        disk, path = self.folder.disk, self.folder.path
        target = done.removesuffix(SPOOL + DONE) + SUFFIX
        if disk.exists(path / (target + PART)):
            disk.rename(path / (target + PART), path / target)
            disk.sync_dir(path)
        disk.unlink(path / done)

    def _newest(self) -> Book | None:
        """Give the account that the newest finished file carries; None if none can be read."""
        for name in reversed(self.folder.finished()[-_LOOK_AT:]):
            file = self.folder.disk.open(self.folder.path / name.text)
            with contextlib.closing(file), contextlib.suppress(OSError, ValueError, KeyError):
                meta = pq.ParquetFile(Source(file)).metadata.metadata or {}
                return Book.of(meta[META])
        return None
