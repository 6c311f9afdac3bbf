"""The journal's face: submit, read, wait, cursors, ledger, statistics.

Owns the lifecycle of everything behind it and the bridge between threads and the event loop. Must
not know who calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Self

from forebay.clock import AgeClock
from forebay.columnar import decode_schema
from forebay.errors import JournalError, JournalFailed, JournalFull, QuarantineError
from forebay.events import JOURNAL_ATTACHED, JOURNAL_DETACHED, JOURNAL_OPENED
from forebay.journal import owner, retention
from forebay.journal.ballast import Ballast, ballast_bytes
from forebay.journal.catalog import Catalog, IndexCache
from forebay.journal.cursor import Cursor, CursorStore
from forebay.journal.entry import Entry, JournalLimits, gaps_of
from forebay.journal.figures import JournalStats, SegmentInfo, quantile
from forebay.journal.ledger import Account
from forebay.journal.quarantine import Quarantine, dropped_entries
from forebay.journal.reader import Reader
from forebay.journal.recovery import Recovered, Recovery
from forebay.journal.refusals import unopened, unreadable, without_room
from forebay.journal.saving import SAVE_EVERY_S, Saving
from forebay.journal.segment import HEADER_BYTES
from forebay.journal.tip import TipFile
from forebay.journal.waiting import Waiting
from forebay.journal.writer import Job, Writer
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from forebay.files import DiskFile
    from forebay.interfaces import Head, Seams
    from forebay.journal.quarantine import Quarantined
    from forebay.model import Position, Record, Schema

__all__ = [
    "Account",
    "Cursor",
    "Entry",
    "Journal",
    "JournalLimits",
    "JournalStats",
    "SegmentInfo",
]

RETAIN_EVERY_S = 60.0
ATTACH_EVERY_S = 60.0
DETACHED_HINT = "look at the disk (dmesg, df, mount); it is tried again every minute"
_READERS = 2


class Journal:
    """The durable log of one directory.

    `async with` opens and closes it. All methods belong to the event loop that opened it, and none
    of them touches the disk there.
    """

    def __init__(
        self,
        directory: Path,
        limits: JournalLimits,
        seams: Seams,
        *,
        gateway: str = "",
        detached: str = "",
    ) -> None:
        """Name the directory, which is made if missing; nothing is touched before `async with`.

        It must be that of `gateway`, unless that is empty. With a reason in `detached` it begins
        without a journal; see `detached`.
        """
        self.directory = directory
        self.detached = detached
        """Why the directory is not open, empty if it is.

        A detached journal is empty and takes nothing: `submit` raises JournalFull, `read` gives
        nothing, `wait_beyond` waits. It tries to open the directory every ATTACH_EVERY_S, and goes
        on as any other then.
        """
        self._limits, self._seams, self._age = limits, seams, AgeClock()
        self._gateway = gateway
        self._catalog = Catalog()
        self._cache = cache = IndexCache(seams.disk)
        self._cursors = CursorStore(directory / "cursors", seams.disk, self._catalog, cache)
        share = round(limits.max_bytes * retention.QUARANTINE_SHARE)
        self.quarantine = Quarantine(directory / "quarantine", share, seams, self._tell_dropped)
        """Copies of records that a destination refused for good."""
        self._tip = TipFile(directory, seams.disk)
        self._saving = Saving(self._cursors, self._tip, self._catalog, seams.clock)
        self._ballast = Ballast(directory, ballast_bytes(limits.max_bytes), seams.disk)
        self._reader = Reader(seams.disk, self._catalog, cache)
        parts = (self._catalog, cache, self._cursors)
        self._waiting = Waiting(self._catalog, seams.events)
        self._writer = Writer(directory, limits, seams, parts, self._waiting, self._ballast)
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="journal-reader")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: DiskFile | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._decoded: dict[int, Schema] = {}
        self._asked = False

    async def __aenter__(self) -> Self:
        """Lock the directory, recover, and make the account of the last run's end durable.

        Detached if the disk has no room even for that. Raises JournalLocked if another process has
        the directory, JournalForeign if another gateway had it, JournalFailed if the disk refuses.
        """
        self._loop = asyncio.get_running_loop()
        self._waiting.attach()
        if not self.detached:
            try:
                await self._open_now()
            except BaseException:
                await self._close()
                raise
        if self.detached:
            self._seams.events.emit(JOURNAL_DETACHED, reason=self.detached, hint=DETACHED_HINT)
            self._upkeep = asyncio.create_task(self._attach(), name="journal.upkeep")
        return self

    async def _open_now(self) -> None:
        try:
            recovered = await self._recover()
        except JournalFailed as failure:
            if not without_room(failure):
                raise
            self.detached = str(failure)
        else:
            await self._begin(recovered)

    async def _attach(self) -> None:
        """Try to open the directory until that works, then keep it up."""
        while self.detached:
            await self._seams.clock.sleep(ATTACH_EVERY_S)
            try:
                recovered = await self._recover()
            except JournalError as error:
                self.detached = str(error)
                continue
            self.detached = ""
            self._seams.events.emit(JOURNAL_ATTACHED, directory=str(self.directory))
            with contextlib.suppress(JournalFailed):  # everybody else hears of it too
                await self._begin(recovered)
        await self._keep_up()

    async def _recover(self) -> Recovered:
        """Open the directory. Raises as `__aenter__`, with nothing done, if that fails."""
        assert self._loop is not None
        try:
            return await self._loop.run_in_executor(self._threads, self._open)
        except BaseException as error:
            self._unlock()
            self._catalog.clear()
            self._cache.clear()
            if isinstance(error, OSError):
                raise unopened(self.directory, error) from error
            raise

    async def _begin(self, recovered: Recovered) -> None:
        """Start to write, first what the recovery has to say. JournalFailed if the disk refuses."""
        assert self._loop is not None
        for event, fields in recovered.events:
            self._seams.events.emit(event, **fields)
        self._writer.start(recovered.ends, recovered.epochs)
        self._waiting.open.set()
        if self._upkeep is None:
            self._upkeep = asyncio.create_task(self._keep_up(), name="journal.upkeep")
        self._catalog.promised = gaps_of(recovered.gaps)
        told = self.submit(recovered.gaps) if recovered.gaps else None
        if told is not None:
            told.add_done_callback(self._said)
            await self._waiting.done_or_stuck(told)
        self._waiting.durable(())
        if told is None or told.done():
            try:
                await self._loop.run_in_executor(self._threads, self._sweep, recovered.obsolete)
            except OSError as error:
                self._writer.fail(error)
                raise unopened(self.directory, error) from error
        segments = sum(len(self._catalog.segments(stream)) for stream in Stream)
        self._seams.events.emit(JOURNAL_OPENED, directory=str(self.directory), segments=segments)

    def _said(self, told: asyncio.Future[None]) -> None:
        if not told.cancelled() and told.exception() is None:
            self._catalog.promised = {}

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, seal, save the cursors, unlock."""
        await self._close()

    async def opened(self) -> None:
        """Return once the directory is open: at once, unless this journal is detached."""
        await self._waiting.open.wait()

    @property
    def epoch(self) -> int:
        """The epoch that is written in from now on; 0 while this is detached.

        Whatever stands in older ones is durable: see it first, then `heads`.
        """
        return self._writer.epoch

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """Hand over; the future is done when all `entries` are durable.

        They are written in order and in one commit. Raises JournalFull at once, taking nothing, if
        they do not fit into memory with what waits, or while it is detached; JournalFailed after a
        disk error, which also ends the future; ValueError for an entry that can be no record.
        """
        assert self._loop is not None
        if self.detached:
            raise JournalFull(self.detached, hint=DETACHED_HINT)
        for entry in entries:
            entry.check()
        future: asyncio.Future[None] = self._loop.create_future()
        nbytes = sum(len(entry.payload) for entry in entries)
        self._writer.submit(Job(future, entries=tuple(entries), nbytes=nbytes))
        return future

    async def new_epoch(self, reason: str, above: int = 0) -> None:
        """Let everything that is submitted from now on stand in a new epoch of its stream.

        For numbers that somebody else has seen under other records, or, with `above`, for epochs
        that somebody else remembers and this directory does not: the new one is younger than that.
        `reason` is told with the event. JournalFull while it is detached; JournalFailed after a
        disk error.
        """
        assert self._loop is not None
        if self.detached:
            raise JournalFull(self.detached, hint=DETACHED_HINT)
        future: asyncio.Future[None] = self._loop.create_future()
        self._writer.submit(Job(future, new_epoch=reason, above=above), bounded=False)
        await future

    async def read(
        self, after: Position, max_bytes: int, cursor: Cursor | None = None
    ) -> list[Record]:
        """Give durable records strictly after `after`, in order, over segments and epochs.

        About `max_bytes` of payload; at least one record if there is any. A record whose CRC does
        not hold is not given: a gap in its place is durable before this returns. With the `cursor`
        of the consumer that gets them, they stay as they are until it has passed them, or until
        `Cursor.begin` says that they never arrived. JournalFailed after a disk error.
        """
        assert self._loop is not None
        begin = None if cursor is None else partial(self._cursors.begin, cursor)
        while True:
            try:
                found = await self._loop.run_in_executor(
                    self._threads, self._reader.read, after, max_bytes, begin
                )
            except OSError as error:
                self._writer.fail(error)
                raise unreadable(error) from error
            if found.damage:
                future: asyncio.Future[None] = self._loop.create_future()
                self._writer.submit(Job(future, damage=tuple(found.damage)), bounded=False)
                await future
            if found.records or not found.damage:
                return found.records

    async def wait_beyond(self, position: Position) -> None:
        """Return once a durable record after `position` exists; JournalFailed if none can come."""
        await self._waiting.beyond(position)

    async def chain(
        self, position: Position, since: tuple[Position, bytes] | None = None
    ) -> bytes | None:
        """Give the hash chain at `position`: SHA-256 of the chain before it and a record's hash.

        It begins with 32 zeros before the epoch's first record, or with what somebody else says it
        was at the earlier position `since` of the same epoch. None unless every record from there
        on is on disk, readable, and named by no gap: otherwise others may rightly have another
        chain. Without `since` this looks into one segment.
        """
        assert self._loop is not None
        try:
            return await self._loop.run_in_executor(
                self._threads, self._reader.chain, position, since
            )
        except OSError as error:
            self._writer.fail(error)
            raise unreadable(error) from error

    def heads(self) -> tuple[Head, ...]:
        """Give one head for each stream and epoch present, oldest first within a stream."""
        return self._catalog.heads()

    def newest(self, stream: Stream) -> Position:
        """Give the position of the last durable record; `(stream, 0, 0)` if there is none."""
        return self._catalog.newest(stream)

    def schema(self, schema_id: int) -> Schema:
        """Give a schema that some live segment holds; KeyError if none does."""
        payload = self._catalog.schemas[schema_id]
        schema = self._decoded.get(schema_id)
        if schema is None:
            live = self._catalog.schemas
            self._decoded = {i: s for i, s in self._decoded.items() if i in live}
            schema = self._decoded[schema_id] = decode_schema(payload)
        return schema

    def cursor(self, name: str) -> Cursor:
        """Give the cursor of a consumer; a new one stands at the beginning.

        It is saved after a while (`saving`) and on close. From this call on retention tells this
        consumer by a gap what it drops before the consumer was there; what is gone already counts
        as gapped. So ask for the cursors of all consumers together, before the first wait: then
        retention begins (without any consumer, after a second). ValueError for a bad name.
        """
        assert self._loop is not None
        cursor = self._cursors.get(name)
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._writer.retain)
        return cursor

    async def leave(self, name: str) -> None:
        """Let a consumer go: nothing is held back for it, nor told it, until it comes again.

        Its cursor is saved, and stays as it is. JournalFailed if the disk refuses.
        """
        await self._save(partial(self._cursors.leave, name))

    def ledger(self, stream: Stream, cursor: Cursor | None = None) -> Account:
        """Give where the stream's samples are, for the consumer behind `cursor`, or without any."""
        return self._cursors.account(stream, cursor, self.quarantine.samples)

    def segments(self) -> tuple[SegmentInfo, ...]:
        """Give all segments, oldest first within a stream."""
        return tuple(
            SegmentInfo(
                stream=stream,
                file=segment.path.name,
                epoch=segment.header.epoch,
                first_seq=segment.header.first_seq,
                last_seq=summary.last_seq,
                bytes=summary.end - HEADER_BYTES,
                samples=summary.samples,
                sealed=summary.sealed_ns != 0,
                time_min_ns=summary.time_min_ns,
                time_max_ns=summary.time_max_ns,
            )
            for stream in Stream
            for segment, summary in self._catalog.view(stream).segments
        )

    def stats(self) -> JournalStats:
        """Give the figures of this run."""
        latencies = sorted(self._writer.latencies_s)
        return JournalStats(
            commits=self._writer.commits,
            commit_p50_ms=quantile(latencies, 0.50) * 1e3,
            commit_p99_ms=quantile(latencies, 0.99) * 1e3,
            queued_bytes=self._writer.queued_bytes,
            ring_max_bytes=self._limits.ring_bytes,
            stream_bytes={
                stream: sum(s.summary.file_bytes for s in self._catalog.segments(stream))
                for stream in Stream
            },
            budget_bytes=self._writer.budget_bytes,
            max_bytes=retention.quotas(self._writer.budget_bytes),
            thinned_samples=sum(
                s.summary.thinned for stream in Stream for s in self._catalog.segments(stream)
            ),
            dropped_samples=self._writer.dropped_samples,
            trouble=self.detached or self._writer.trouble,
            last_commit_s=self._writer.last_commit_s,
        )

    def _open(self) -> Recovered:
        """Everything that a start does on disk; blocks."""
        disk = self._seams.disk
        self._lock = owner.take(self.directory, self._gateway, disk)
        self._settle()
        recovered = Recovery(
            self.directory,
            self._seams,
            self._catalog,
            self._cache,
            self._ballast,
            known_epoch=self._cursors.newest_epoch(),
            furthest=self._cursors.furthest(),
            tips=self._tip.load(),
        ).run()
        self.quarantine.load()  # first: what cursors call refused is gapped without its copy
        self._cursors.load()
        return recovered

    def _settle(self) -> None:
        """Make the names durable that a start builds on.

        A process that was killed may have left some that a power cut would take back: a cursor that
        has passed a segment must not come back to it once the segment is gone.
        """
        disk = self._seams.disk
        aside, parts = self.directory / "quarantine", [stream.value for stream in Stream]
        copies = disk.listdir(aside) if disk.exists(aside) else []
        directories = [self.directory / part for part in ("", "cursors", "quarantine", *parts)]
        for directory in (*directories, *(aside / uplink for uplink in copies)):
            if disk.exists(directory):
                with contextlib.suppress(NotADirectoryError):  # a stranger
                    disk.sync_dir(directory)

    def _sweep(self, obsolete: Sequence[Path]) -> None:
        """Remove files without a record, now that gaps account for what was to stand there."""
        for path in obsolete:
            self._seams.disk.unlink(path)
            self._seams.disk.sync_dir(path.parent)

    async def _close(self) -> None:
        assert self._loop is not None
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.wait([self._upkeep])
            self._upkeep = None
        await self._loop.run_in_executor(self._threads, self._writer.stop)
        if self._waiting.failure is None and self._lock is not None:
            await self._save(partial(self._saving.end, orderly=not self._writer.gave_up))
        self._tip.close()
        self._unlock()
        await asyncio.to_thread(self._threads.shutdown)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _keep_up(self) -> None:
        """Save cursors and look after the age of segments, until cancelled."""
        due_s = self._seams.clock.monotonic_s() + RETAIN_EVERY_S
        while self._waiting.failure is None:
            await self._seams.clock.sleep(SAVE_EVERY_S)
            await self._save(self._saving.look)
            if self._writer.full:
                self._writer.retain()  # what was just passed may make room
            self._writer.look()
            if self._seams.clock.monotonic_s() >= due_s or not self._asked:
                self._asked = True
                due_s = self._seams.clock.monotonic_s() + RETAIN_EVERY_S
                self._writer.retain()
                await self._prune_quarantine()

    async def _prune_quarantine(self) -> None:
        clock = self._seams.clock
        with contextlib.suppress(QuarantineError, JournalError):  # it may stay a minute longer
            await self.quarantine.prune(self._age.now_ns(clock.read()))

    async def _tell_dropped(self, going: Sequence[Quarantined]) -> None:
        """Account for copies that are about to go, unless a gap in the journal does already."""
        entries = dropped_entries(
            [one for one in going if not self._catalog.covered(*one.position, one.position.seq)]
        )
        if not entries:
            return
        if not self._waiting.trouble:
            told = self.submit(entries)
            await self._waiting.done_or_stuck(told)
            if told.done():
                return
        raise JournalFull(
            "there is no room to say that a record is dropped",
            hint="nothing to do: it stays until there is room",
        )

    async def _save(self, save: Callable[[], None]) -> None:
        """Make cursors and tip durable."""
        assert self._loop is not None
        try:
            await self._loop.run_in_executor(self._threads, save)
        except OSError as error:
            self._writer.fail(error)
