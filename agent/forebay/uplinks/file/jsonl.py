"""Lines of JSON: the log of groups is what people read.

Owns when a file is finished. Must not know how a log writes, nor the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.uplinks.file import lines
from forebay.uplinks.file.book import Book
from forebay.uplinks.file.folder import Folder
from forebay.uplinks.file.log import Log

if TYPE_CHECKING:
    from forebay.clock import Clock
    from forebay.files import Disk
    from forebay.interfaces import Offer
    from forebay.model import Position
    from forebay.uplinks.file.config import FileSettings
    from forebay.uplinks.file.store import Epoch, Row


class JsonlStore:
    """Implements `store.Store`."""

    def __init__(self, uplink: str, settings: FileSettings, disk: Disk, clock: Clock) -> None:
        """Touch nothing."""
        self.folder = Folder(settings.directory, uplink, ".jsonl", disk)
        self._uplink, self._settings = uplink, settings
        self._log = Log(self.folder, clock)

    def open(self, offer: Offer, incarnation: str) -> Book:
        """See `Store.open`."""
        return self._log.open(
            lambda: Book.first(offer, self._uplink, incarnation), offer.gateway, lambda *_: None
        )

    def append(self, row: Row) -> None:
        """See `Store.append`."""
        data = lines.group(row)
        self.folder.make_room(len(data), self._settings.min_free)
        self._log.write(data, row.record.position, row.first_seq)

    def commit(self, *, last: bool = False) -> set[Epoch]:
        """See `Store.commit`: one flush for all that was appended."""
        touched = self._log.flush(last=last)
        if self._log.size >= self._settings.max_size and not last:
            self._log.rotate()
        return touched

    def tick(self) -> None:
        """See `Store.tick`."""
        self._log.look()
        if self._log.age_s >= self._settings.max_age:
            self._log.rotate()

    def holds(self, position: Position, first_seq: int) -> bool:
        """See `Store.holds`."""
        return self._log.holds(position, first_seq)

    def close(self) -> None:
        """See `Store.close`."""
        self._log.close()
