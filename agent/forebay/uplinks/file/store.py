"""What the uplink asks of a form of files, whichever it is.

Owns the words. Must not know a format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.interfaces import Offer
    from forebay.model import Position, Record, Stream
    from forebay.readings import Readings
    from forebay.uplinks.file.book import Book
    from forebay.uplinks.file.folder import Folder

    Epoch = tuple[Stream, int]


CREDIT_BYTES = 64 << 20
"""Payload bytes that may be on their way to a file: the most that the forwarder uses."""


class Row(NamedTuple):
    """One record, ready to be written.

    Its samples `found`, what else it says as `note`, or the code with which it is `refused`; none
    of these if it is here already and comes again for its hole. `absent_from` is the first seq of
    the hole before it, which will not come; 0 for none.
    """

    record: Record
    found: Readings | None
    note: Mapping[str, Any] | None
    historical: bool
    refused: str = ""
    absent_from: int = 0

    @property
    def first_seq(self) -> int:
        """The first seq that is settled with this record."""
        return self.absent_from or self.record.position.seq


class Store(Protocol):
    """Files of one format in one directory.

    Every call blocks, all come from one thread at a time, and all may raise OSError or
    UplinkUnavailable; after that only `close` follows.
    """

    @property
    def folder(self) -> Folder:
        """The finished files, and the directory's lock."""
        ...

    def open(self, offer: Offer, incarnation: str) -> Book:
        """Find what is here, mend what a crash left, and give the account, which stays the store's.

        `incarnation` is that of a directory that has none. UplinkMisbehaved if the files are those
        of another gateway.
        """
        ...

    def append(self, row: Row) -> None:
        """Write a record that the store does not hold, or one whose hole it does not know."""
        ...

    def commit(self, *, last: bool = False) -> set[Epoch]:
        """Make durable what was appended; give the epochs of which the account has more.

        After a refusal this is the `last` call but `close`.
        """
        ...

    def tick(self) -> None:
        """Do what time asks for, about once a second."""
        ...

    def holds(self, position: Position, first_seq: int) -> bool:
        """Whether all from `first_seq` up to `position` is settled here, durable or not."""
        ...

    def close(self) -> None:
        """Let go of all files."""
        ...
