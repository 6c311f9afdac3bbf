"""Setting records aside that a destination will not take, so that the rest can go on.

Owns the order of the steps: what a crash leaves half done is done again, and nothing is lost by it.
Must not know sessions, nor how copies are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.columnar import encode_schema, peek_schema_id
from forebay.errors import JournalCorrupt, JournalFull
from forebay.events import UPLINK_FORKED, UPLINK_SET_ASIDE
from forebay.journal.entry import Entry, aside_gap, gap_entry
from forebay.model import Gap, GapCause, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from forebay.forwarding.journal_view import CopyView, CursorView, JournalView
    from forebay.interfaces import Seams
    from forebay.model import Position, Record

SUSPECT = "Suspect"
"""The destination broke on it each time, and took another one right after."""
TOO_LARGE = "TooLarge"
"""It has more bytes than the destination takes in one record."""
FORKED = "Forked"
"""The destination has another record at this position."""

_FULL_PAUSE_S = 0.5
_READ_BYTES = 1 << 20


class Aside:
    """What one uplink's destination does not get, or got otherwise."""

    def __init__(self, name: str, journal: JournalView, cursor: CursorView, seams: Seams) -> None:
        """Belong to the uplink `name`."""
        self._name, self._journal, self._cursor, self._seams = name, journal, cursor, seams
        self._lost: set[tuple[Position, int]] = set()

    def positions(self) -> set[Position]:
        """Give what is in quarantine for this uplink; it counts so in the ledger once passed."""
        copies = self._journal.quarantine.copies(self._name)
        for copy in copies:
            self._cursor.reject(copy.position, _held(copy))
        return {copy.position for copy in copies}

    async def put(self, record: Record, code: str, reason: str) -> None:
        """Set aside what the destination itself does not account for.

        First a gap says so, in its stream, then the copy is made, then the cursor may pass: a crash
        in between costs a second gap.
        """
        await self._submit([gap_entry(record.position.stream, aside_gap(record))])
        await self._keep(record, code, reason)

    async def refused(self, refusals: Collection[tuple[Position, str, int]]) -> None:
        """Set aside what the destination refused for good, before the cursor passes it.

        The destination has accounted for it. What it refuses as forked is written anew first.
        """
        codes = {position: code for position, code, _ in refusals}
        for stream in Stream:
            waiting = sorted(position for position in codes if position.stream is stream)
            while waiting:
                records = await self._read(waiting[0])
                found = [record for record in records if record.position in codes]
                await self._rewrite([r for r in found if codes[r.position] == FORKED])
                for record in found:
                    await self._keep(
                        record, codes[record.position], "the destination refused it for good"
                    )
                reached = max([waiting[0], *(record.position for record in records)])
                waiting = [position for position in waiting if position > reached]
        for position, _, samples in refusals:
            self._cursor.reject(position, samples)

    async def close_epoch(self, epoch: int, reason: str) -> None:
        """Let the journal begin a new epoch, unless it writes in `epoch` no more."""
        if self._journal.epoch == epoch:
            self._seams.events.emit(
                UPLINK_FORKED, uplink=self._name, epoch=f"{epoch:x}", reason=reason
            )
            await self._journal.new_epoch(reason)

    async def tell_lost(self, tails: Sequence[tuple[Position, int]]) -> None:
        """Say in gaps what this disk has lost, once a run: the destination waits for it."""
        for begin, last in tails:
            if (begin, last) in self._lost:
                continue
            self._lost.add((begin, last))
            now_ns = self._seams.clock.now_ns()
            gap = Gap(
                cause=GapCause.CORRUPT,
                time_from_ns=now_ns,
                time_to_ns=now_ns,
                samples=None,
                epoch=begin.epoch,
                seq_from=begin.seq,
                seq_to=last,
            )
            await self._submit([gap_entry(begin.stream, gap)])

    async def _rewrite(self, records: Sequence[Record]) -> None:
        """Write records under new numbers: their old ones name others at the destination."""
        if not records:
            return
        current = self._journal.epoch
        if any(record.position.epoch == current for record in records):
            await self.close_epoch(current, "a destination has other records under our numbers")
        await self._submit([self._entry(record) for record in records])

    def _entry(self, record: Record) -> Entry:
        schema = self._schema(record)
        return Entry(
            stream=record.position.stream,
            kind=record.kind,
            payload=record.payload,
            samples=_held(record),
            time_min_ns=record.time_min_ns,
            time_max_ns=record.time_max_ns,
            schema=(peek_schema_id(record.payload), schema) if schema else None,
        )

    def _schema(self, record: Record) -> bytes:
        """Give the encoded schema that a batch needs, empty if there is none to be had."""
        if record.kind is not RecordKind.BATCH:
            return b""
        try:
            return encode_schema(self._journal.schema(peek_schema_id(record.payload)))
        except (KeyError, JournalCorrupt):
            return b""

    async def _keep(self, record: Record, code: str, reason: str) -> None:
        await self._journal.quarantine.put(
            record, uplink=self._name, code=code, reason=reason, schema=self._schema(record)
        )
        self._cursor.reject(record.position, _held(record))
        self._seams.events.emit(
            UPLINK_SET_ASIDE,
            uplink=self._name,
            record=f"{record.position.stream}/{record.position.epoch:x}/{record.position.seq}",
            samples=record.samples,
            code=code,
            reason=reason,
        )

    async def _read(self, position: Position) -> Sequence[Record]:
        before = position._replace(seq=position.seq - 1)
        return await self._journal.read(before, _READ_BYTES, self._cursor)

    async def _submit(self, entries: Sequence[Entry]) -> None:
        while True:
            try:
                await self._journal.submit(entries)
            except JournalFull:
                await self._seams.clock.sleep(_FULL_PAUSE_S)
            else:
                return


def _held(record: Record | CopyView) -> int:
    """Count the samples that the ledger has for a record; those that a gap tells of are no part."""
    return record.samples if record.kind is RecordKind.BATCH else 0
