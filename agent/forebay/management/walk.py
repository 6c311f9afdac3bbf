"""What a consumer has not got, read once through the journal to be carried away.

Owns which records that are, in which order, and the knowledge of holes between them. Must not know
what becomes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.config.carried import Collected
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence

    from forebay.journal.cursor import Cursor
    from forebay.journal.journal import Journal
    from forebay.model import Position, Record

READ_BYTES = 1 << 20
"""Of payload in a group, unless one record is larger."""


class Walk:
    """Reads what lies between two sets of positions, stream by stream, the urgent ones first."""

    def __init__(
        self, journal: Journal, cursor: Cursor, begin: Mapping[Stream, Position], max_bytes: int
    ) -> None:
        """Begin behind `begin`; end with what is durable now, or about `max_bytes` of payload."""
        self._journal, self._cursor, self._most = journal, cursor, max_bytes
        self.ends = dict(begin)
        """How far each stream was read."""
        self.records = self.payload_bytes = 0
        self._more = False
        self._times: list[int] = []

    async def groups(self) -> AsyncGenerator[tuple[Sequence[Record], Sequence[int]]]:
        """Give records of one stream at a time, and for each the first seq that is gone before it.

        That is 0 where nothing is. JournalFailed ends it.
        """
        for stream in Stream:
            last = self._journal.newest(stream)
            while (at := self.ends[stream]) < last:
                if self._most and self.payload_bytes >= self._most:
                    self._more = True
                    return
                left = self._most - self.payload_bytes if self._most else READ_BYTES
                read = await self._journal.read(at, min(left, READ_BYTES), self._cursor)
                records = [record for record in read if record.position <= last]
                if not records:
                    break  # retention or quarantine was faster, and a gap tells of it
                absent = list(_absent(at, records))
                self._count(records)
                yield records, absent

    def _count(self, records: Sequence[Record]) -> None:
        self.ends[records[-1].position.stream] = records[-1].position
        self.records += len(records)
        self.payload_bytes += sum(len(record.payload) for record in records)
        timed = [record for record in records if record.time_min_ns]
        for record in timed:
            self._times = [
                min([*self._times[:1], record.time_min_ns]),
                max([*self._times[1:], record.time_max_ns]),
            ]

    def told(self) -> Collected:
        """Give what was read."""
        begin_ns, end_ns = self._times or (0, 0)
        return Collected(self.records, self.payload_bytes, self._more, begin_ns, end_ns)


def _absent(after: Position, records: Iterable[Record]) -> Iterator[int]:
    """Give for each record the first seq of the hole before it, 0 for none: as `Feed` does."""
    for record in records:
        _, epoch, seq = record.position
        due = after.seq + 1 if epoch == after.epoch else 1
        yield due if seq > due else 0
        after = record.position
