"""The one writer: takes everything that waits, writes it, makes it durable, tells the event loop.

Owns the writer thread, the group commit and retention's order of steps. Must not know readers.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from forebay.errors import JournalFailed, JournalFull, StreamFull
from forebay.events import DATA_LOST, EPOCH_BEGUN, SEGMENT_SEALED
from forebay.journal import retention
from forebay.journal.appender import Appender, NoRoom
from forebay.journal.ballast import HINT, Room
from forebay.journal.entry import Damage, Overflow, gap_entry
from forebay.journal.retainer import Retainer, lost
from forebay.model import GapCause, Position, RecordKind, Stream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from forebay.events import Event
    from forebay.interfaces import Seams
    from forebay.journal.appender import End
    from forebay.journal.ballast import Ballast
    from forebay.journal.catalog import Catalog, IndexCache
    from forebay.journal.cursor import CursorStore
    from forebay.journal.entry import Entry, JournalLimits
    from forebay.journal.epochs import Epochs
    from forebay.journal.rewrite import Thinned

LATENCIES_KEPT = 1024
"""Commits whose duration the statistics look at."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one caller wants durable: entries in order, or damage that needs a gap.

    With a `new_epoch`, the reason for it, all streams first begin one, younger than the epoch
    `above`. `ticket` is ended on the event loop; the writer only carries it.
    """

    ticket: asyncio.Future[None]
    entries: Sequence[Entry] = ()
    damage: Sequence[Damage] = ()
    nbytes: int = 0
    new_epoch: str = ""
    above: int = 0


class Told(Protocol):
    """Who hears what the writer did. Called on the writer thread; must not block or raise."""

    def durable(self, jobs: Sequence[Job]) -> None:
        """All of `jobs` are durable and can be read."""
        ...

    def failed(self, jobs: Sequence[Job], failure: JournalFailed) -> None:
        """The disk refused: `jobs` may or may not be there after the next start."""
        ...

    def refused(self, jobs: Sequence[Job], why: JournalFull) -> None:
        """The run ends, and the disk has no room for `jobs`."""
        ...

    def waits(self, trouble: str) -> None:
        """The writer cannot go on before there is room; empty if it goes on again."""
        ...

    def happened(self, event: Event, fields: Mapping[str, object]) -> None:
        """Something to tell happened."""
        ...


class _GivenUp(Exception):
    """The run ends while the disk is full, or another part has failed meanwhile."""


class Writer:
    """Group commit on a thread of its own. `submit` from any thread."""

    def __init__(
        self,
        directory: Path,
        limits: JournalLimits,
        seams: Seams,
        parts: tuple[Catalog, IndexCache, CursorStore],
        told: Told,
        ballast: Ballast,
    ) -> None:
        """Write under `directory`; `start` says where."""
        self._directory, self._limits = directory, limits
        self._disk, self._clock = seams.disk, seams.clock
        self._catalog, self._cache, self._cursors = parts
        self._told = told
        self._logs: dict[Stream, Appender] = {}
        self._retainer = Retainer(limits, seams, parts, self._logs, told, self._copied)
        self._room = Room(
            ballast,
            self._retainer,
            self._logs,
            (seams.disk, seams.clock),
            told,
            directory=directory,
            segment_bytes=retention.segment_bytes(limits, Stream.TELEMETRY),
        )
        self._epochs: Epochs | None = None
        self._wake = threading.Condition()
        self._jobs: list[Job] = []
        self._taken: list[Job] = []
        self._copies: list[Future[Thinned]] = []
        self._touched: dict[Stream, Appender] = {}
        self._appended: list[Job] = []
        self._found: list[Damage] = []
        self._began_s = 0.0
        self._retain_due = self._stopping = self._may_retain = self._look_due = False
        self._failure: JournalFailed | None = None
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._epoch = 0
        self.epoch = 0
        """The epoch of what is written next: what stands in older ones is durable. 0: none yet."""
        self.queued_bytes = 0
        """Bytes taken over and not yet durable."""
        self.commits = 0
        self.last_commit_s: float | None = None
        """When the latest of them was durable (monotonic), None for never."""
        """Commits since the start."""
        self.trouble = ""
        """Why nothing can be written now, for a person; empty if all is well."""
        self.gave_up = False
        """Whether the run ended with something that was accepted and not written."""
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES_KEPT)
        """How long the latest commits took, from the first write to the last flush."""

    def start(self, ends: dict[Stream, End], epochs: Epochs) -> None:
        """Begin to write, each stream behind its end; `epochs` gives the epochs after these."""
        self._epochs = epochs
        self._room.look()
        parts = (self._disk, self._clock, self._catalog, self._cache)
        for stream, end in ends.items():
            self._logs[stream] = Appender(
                self._directory / stream.value,
                stream,
                end,
                retention.segment_bytes(self._limits, stream),
                parts,
            )
        self.epoch = self._epoch = max(end.epoch for end in ends.values())
        self._thread.start()

    def submit(self, job: Job, *, bounded: bool = True) -> None:
        """Take `job`. JournalFailed after a disk error; JournalFull if `bounded` and no room."""
        with self._wake:
            if self._failure is not None:
                raise self._failure
            if bounded:
                self._refuse(job)
            if bounded and self.queued_bytes + job.nbytes > self._limits.ring_bytes:
                slow = "the disk is slower than the data: raise [journal] memory or poll less"
                raise JournalFull(
                    f"{self.queued_bytes} bytes wait for the disk, {job.nbytes} more do not fit",
                    hint=HINT if self.trouble else slow,
                )
            self.queued_bytes += job.nbytes
            self._jobs.append(job)
            self._wake.notify()

    def _refuse(self, job: Job) -> None:
        """Raise JournalFull if a stream that drops nothing is to take more than it has room for."""
        full = self._retainer.full
        if not full:
            return
        for stream in {e.stream for e in job.entries if e.kind is RecordKind.BATCH} & full:
            kind = (
                StreamFull if self._limits.overflow[stream] is Overflow.DROP_NEWEST else JournalFull
            )
            raise kind(
                f"the {stream.value} stream is full of what is not delivered",
                hint=f"get the uplinks going, or raise [journal] max_size: {stream.value} drops "
                "nothing by itself",
            )

    @property
    def full(self) -> frozenset[Stream]:
        """Streams that take no batch at present; see `Overflow`."""
        return self._retainer.full

    @property
    def budget_bytes(self) -> int:
        """What the journal can count on: its limit, or less if the disk has no room for that."""
        return self._retainer.limits.max_bytes

    @property
    def dropped_samples(self) -> int:
        """How many samples went with their segments before every consumer had passed them."""
        return self._retainer.dropped_samples

    def retain(self) -> None:
        """Have retention look at the segments soon, for those that have grown old.

        It does nothing before the first call: the consumers must have come, for what one of them
        has not got must not go silently.
        """
        with self._wake:
            self._retain_due = self._may_retain = True
            self._wake.notify()

    def look(self) -> None:
        """Have the writer see whether a disk that was full has room again."""
        if self._room.scarce or self.trouble:
            with self._wake:
                self._look_due = True
                self._wake.notify()

    def _copied(self, copy: Future[Thinned]) -> None:
        with self._wake:
            self._copies.append(copy)
            self._wake.notify()

    def stop(self) -> None:
        """Write what waits, seal, end the thread. Blocks until that is done. Never raises."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()
        self._retainer.stop()

    def fail(self, error: BaseException) -> None:
        """Refuse everything from now on: another part met a disk error."""
        with self._wake:
            if self._failure is None:
                self._failure = _failed(error)
            mine = threading.current_thread() is self._thread
            jobs = [*self._taken, *self._jobs] if mine else self._jobs
            self._jobs = []
            self._wake.notify()
        self._told.failed(jobs, self._failure)

    def _run(self) -> None:
        try:
            self._live()
        except OSError as error:
            self.fail(error)
        except BaseException as error:  # a defect must not leave anybody waiting
            self.fail(error)
            raise
        finally:
            for log in self._logs.values():
                log.close()

    def _live(self) -> None:
        """Write until the run is over."""
        try:
            self._room.mend(may_drop=False)
            while self._turn():
                pass
            for log in self._logs.values():
                log.seal(clean=True)
        except _GivenUp:
            self._leave()

    def _turn(self) -> bool:
        """Wait for something to do and do it; False if the run is over."""
        with self._wake:
            while not self._due():
                self._wake.wait()
            if self._failure is not None:
                raise _GivenUp
            self._taken, self._jobs = self._jobs, []
            copies, self._copies = self._copies, []
            retain = self._retain_due or bool(copies)
            look, self._look_due, self._retain_due = self._look_due, False, False
            if self._stopping and not self._taken:
                return False
        self._commit(self._taken)
        self._taken = []
        for copy in copies:
            self._retainer.adopt(copy.result())
        self._retain(retain)
        if look or self._room.scarce:  # before the next segment meets the same
            self._room.mend(may_drop=self._may_retain)
        return True

    def _due(self) -> bool:
        asked = self._retain_due or self._look_due or self._stopping
        return bool(self._jobs or self._copies or asked or self._failure)

    def _leave(self) -> None:
        """End with what there is no room for; the next start says that something is missing."""
        with self._wake:
            self.gave_up = True
            jobs, self._taken, self._jobs = [*self._taken, *self._jobs], [], []
        if self._failure is not None:
            self._told.failed(jobs, self._failure)
            return
        self._told.refused(jobs, JournalFull("the agent stops and the disk is full", hint=HINT))
        for log in self._logs.values():
            log.seal(clean=False)

    def _commit(self, jobs: Sequence[Job]) -> None:
        """Write all entries of `jobs` in order, flush each touched file once, and tell."""
        if not jobs:
            return
        self._began_s = self._clock.monotonic_s()
        alone = len(jobs) == len(jobs[0].entries) == 1
        for job in jobs:
            if job.new_epoch:
                self._begin_epoch(job.new_epoch, job.above)
            for entry in job.entries:
                self._append(entry, alone=alone)
            for damage in job.damage:
                if self._unaccounted(damage):
                    self._append(gap_entry(damage.stream, damage.gap(GapCause.CORRUPT)))
                    self._found.append(damage)
            self._appended.append(job)
        self._flush()

    def _flush(self) -> None:
        """Make what was appended durable, and tell whose jobs are done with it."""
        touched, self._touched = self._touched, {}
        for log in touched.values():
            log.sync()
        found, self._found = self._found, []
        for damage in found:
            self._mark(damage)
        done, self._appended = self._appended, []
        self.epoch = self._epoch
        if done:
            self.latencies_s.append(self._clock.monotonic_s() - self._began_s)
            self.commits += 1
            self.last_commit_s = self._clock.monotonic_s()
        with self._wake:
            self.queued_bytes -= sum(job.nbytes for job in done)
        self._told.durable(done)

    def _append(self, entry: Entry, *, alone: bool = False) -> None:
        """Append, however long it takes until there is room for it."""
        log = self._logs[entry.stream]
        while True:
            try:
                log.append(entry, alone=alone)
            except NoRoom:
                self._flush()
                self._began_s = self._clock.monotonic_s()
                if not self._room.find(may_drop=self._may_retain):
                    self._wait_for_room()
            else:
                break
        self._touched[entry.stream] = log
        if self.trouble:
            self.trouble = ""
            self._told.waits("")

    def _wait_for_room(self) -> None:
        """Wait until somebody says that it is time to look again. _GivenUp if the run ends."""
        if not self.trouble:
            free = self._room.free_bytes() >> 10
            self.trouble = f"the disk is full ({free:,} KiB free), and not by what may be dropped"
            self._told.waits(self.trouble)
        with self._wake:
            last = self._stopping
            while not (self._look_due or self._stopping or self._failure):
                self._wake.wait()
            self._look_due = False
            if self._failure or last:
                raise _GivenUp

    def _begin_epoch(self, reason: str, above: int) -> None:
        """Let no stream go on in the epoch that it is in."""
        assert self._epochs is not None
        self._epoch = epoch = self._epochs.next(above)
        for log in self._logs.values():
            log.begin(epoch)
        self._told.happened(EPOCH_BEGUN, {"epoch": f"{epoch:016x}", "reason": reason})

    def _unaccounted(self, damage: Damage) -> bool:
        place = (damage.epoch, damage.seq_from, damage.seq_to)
        return not self._catalog.covered(damage.stream, *place)

    def _mark(self, damage: Damage) -> None:
        """Take damaged records out of what is pending, and tell."""
        position = Position(damage.stream, damage.epoch, damage.seq_from)
        segment = self._catalog.view(damage.stream).find(position)
        if segment is not None and segment.sealed and not self._disk.exists(segment.path):
            self._catalog.drop(segment)
            self._cache.drop(segment.path)
        else:
            self._catalog.mark_damaged(position, damage.samples or 0)
        self._told.happened(DATA_LOST, lost(damage.stream, damage.gap(GapCause.CORRUPT)))

    def _retain(self, asked: bool) -> None:  # noqa: FBT001 - the only caller says what it read
        """Have retention look, if a segment was sealed or somebody `asked`."""
        sealed = [segment for log in self._logs.values() for segment in log.sealed]
        for log in self._logs.values():
            log.sealed.clear()
        for segment in sealed:
            name = segment.path.name
            self._told.happened(SEGMENT_SEALED, {"stream": segment.stream.value, "segment": name})
        if not (sealed or asked) or not self._may_retain:
            return
        self._room.look()
        try:
            self._retainer.run()
        except NoRoom:
            self._room.find(may_drop=False)
            with contextlib.suppress(NoRoom):  # else the next append meets the same
                self._retainer.run()


def _failed(error: BaseException) -> JournalFailed:
    failure = JournalFailed(
        f"the disk under the journal refused: {error}",
        hint="look at the disk (dmesg, df); what was journaled is read back at the next start",
    )
    failure.__cause__ = error
    return failure
