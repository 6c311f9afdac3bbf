"""The way into the journal.

Stages, shadow, batches closed by size or age, anchors where the wall clock was set, and the account
of what found no room.

Owns samples from `accept` until the journal has made them durable. Must not know protocols, files
or destinations.

What is journaled is never restamped. So the last anchor before a row must describe the clock that
stamped it: each batch is asked by which clock it was stamped, a row of another clock gets an anchor
before it, and an anchor closes every batch that is open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from forebay.columnar import BatchEncoder, encode_anchor, encode_schema
from forebay.errors import JournalFull, StreamFull
from forebay.events import DATA_LOST, RING_OVERFLOW
from forebay.journal.entry import gap_entry
from forebay.journal.journal import Entry
from forebay.model import Gap, GapCause, RecordKind, Stream
from forebay.pipeline.anchors import Anchors
from forebay.pipeline.split import split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.interfaces import Seams, Stage
    from forebay.model import Anchor, Batch, Schema
    from forebay.pipeline.shadow import Shadow

BATCH_BYTES = 256 << 10
"""Raw bytes at which a batch is closed early.

Encoded that is 16-64 KiB of process data (bench/encode).
"""
ROOM_WAIT_S = 1.0
"""How long `accept` waits for room before a Gap takes the batch's place."""
ROOM_LOOK_S = 0.05
"""How often it looks for room while nothing of its own is on the way to the disk."""
LOOK_AT_CLOCK_S = 1.0
"""How often the wall clock is looked at beside the looks for each batch."""
COMMIT_BYTES = 1 << 20
"""The most that is submitted at once, beyond a single entry: well below the least `memory`."""


_WHY: Mapping[GapCause, str] = MappingProxyType(
    {
        GapCause.RING_OVERFLOW: "see `forebay journal status`: the disk",
        GapCause.STREAM_FULL: "see `forebay uplinks`: telemetry drops nothing, and is full",
    }
)


class JournalWriter(Protocol):
    """What the pipeline needs of the journal."""

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """See `forebay.journal.journal.Journal.submit`."""
        ...


@dataclass(slots=True)
class _Open:
    """Batches of one schema and layout that wait to be one."""

    batches: list[Batch] = field(default_factory=list)
    nbytes: int = 0


@dataclass(slots=True)
class _Ready:
    """An entry that waits for room before the journal, and what becomes of it if none comes.

    `cause` is that of the gap in its place; None for an anchor, which waits on.
    """

    entry: Entry
    source: str
    cause: GapCause | None


@dataclass(slots=True)
class _Lost:
    """What there was no room for, of one source and for one cause."""

    samples: int
    time_from_ns: int
    time_to_ns: int


class Pipeline:
    """The intake of all sessions."""

    def __init__(
        self,
        journal: JournalWriter,
        shadow: Shadow,
        stages: Mapping[str, tuple[Stage, ...]],
        seams: Seams,
        *,
        commit_interval_s: float,
    ) -> None:
        """Hand over to `journal` every `commit_interval_s`; `stages` by device."""
        self._journal, self._shadow, self._stages, self._seams = journal, shadow, stages, seams
        self._interval_s = commit_interval_s
        self._encoder = BatchEncoder()
        self._open: dict[tuple[int, bool], _Open] = {}
        self._schemas: dict[int, tuple[int, bytes]] = {}
        self._ready: deque[_Ready] = deque()
        self._submitted: deque[tuple[asyncio.Future[None], int]] = deque()
        self._lost: dict[tuple[str, GapCause], _Lost] = {}
        self.anchors = Anchors(seams)
        """What is known of the wall clock."""
        self._put_anchor(self.anchors.first)
        self._refused = GapCause.RING_OVERFLOW  # what the last refusal would make of samples
        self.accepted_samples = 0
        """Samples taken over since the start, lost ones included."""
        self.lost_samples = 0
        """Those of them that became a Gap because the journal had no room for long."""

    async def accept(self, batch: Batch) -> None:
        """See `forebay.interfaces.Intake.accept`."""
        self._shadow.update(batch)
        if not batch.rows:
            return
        closed = False
        if self.anchors.explains(batch):
            closed = self._admit(batch)
        else:
            for anchor, part in self.anchors.told_apart(batch):
                if anchor is not None:
                    self._put_anchor(anchor)
                if part is not None:
                    closed = self._admit(part) or closed
        if closed:
            await self._hand_over()

    async def commit(self, batch: Batch) -> None:
        """See `forebay.interfaces.Intake.commit`."""
        await asyncio.shield(self._journal.submit([self._entry([batch])]))

    def account(self, gap: Gap) -> None:
        """See `forebay.interfaces.Intake.account`.

        Its times are of the clock as it is now, so the anchor before it must be as well.
        """
        anchor = self.anchors.look()
        if anchor is not None:
            self._put_anchor(anchor)
        for key, waiting in tuple(self._open.items()):
            if waiting.batches[0].schema.source == gap.source:
                self._close_batch(key)
        self._ready.append(_Ready(gap_entry(Stream.TELEMETRY, gap), gap.source, gap.cause))

    async def watch_clock(self) -> None:
        """Look at the wall clock every second, until cancelled."""
        while True:
            await self._seams.clock.sleep(LOOK_AT_CLOCK_S)
            anchor = self.anchors.look()
            if anchor is not None:
                self._put_anchor(anchor)

    def _put_anchor(self, anchor: Anchor) -> None:
        """Put `anchor` behind all that was accepted."""
        for key in tuple(self._open):
            self._close_batch(key)
        entry = Entry(
            stream=Stream.TELEMETRY,
            kind=RecordKind.ANCHOR,
            payload=encode_anchor(anchor),
            samples=0,
            time_min_ns=anchor.wall_ns,
            time_max_ns=anchor.wall_ns,
        )
        self._ready.append(_Ready(entry, "", None))

    def _admit(self, batch: Batch) -> bool:
        """Let the stages have a batch and take what they leave; see `_take`."""
        out = self._staged(batch)
        if out is None or not out.rows:
            return False
        self.accepted_samples += out.samples
        closed = [self._take(part) for part in split(out)]
        return any(closed)

    def _take(self, batch: Batch) -> bool:
        """Put a batch with its like, and close them if they are enough for a record.

        Gives whether they were closed. Never waits, so that what is accepted is taken whole.
        """
        key = (batch.schema.id, batch.index is not None)
        waiting = self._open.get(key)
        if waiting is None:
            waiting = self._open[key] = _Open()
        waiting.batches.append(batch)
        waiting.nbytes += batch.nbytes
        if waiting.nbytes < BATCH_BYTES:
            return False
        self._close_batch(key)
        return True

    def _staged(self, batch: Batch) -> Batch | None:
        out = batch
        for stage in self._stages.get(batch.schema.source, ()):
            passed = stage.apply(out)
            if passed is None:
                return None
            out = passed
        return out

    def pending_samples(self) -> int:
        """Count what is accepted and not yet durable."""
        self._reap()
        opened = sum(batch.samples for waiting in self._open.values() for batch in waiting.batches)
        ready = sum(ready.entry.samples for ready in self._ready)
        lost = sum(lost.samples for lost in self._lost.values())
        return opened + ready + lost + sum(samples for _, samples in self._submitted)

    async def run(self) -> None:
        """Close what is open every interval, until cancelled.

        Raises JournalFailed when the disk has failed.
        """
        while True:
            await self._seams.clock.sleep(self._interval_s)
            self._reap()
            for key in tuple(self._open):
                self._close_batch(key)
            await self._hand_over()
            if self._lost and not self._ready:  # what is lost is told, though nothing new comes
                self._submit_next()

    async def close(self) -> None:
        """Hand everything over and wait until it is durable, however long the disk takes.

        Called once, after the last `accept`, cancelled ones included: what they left is still here.
        """
        for key in tuple(self._open):
            self._close_batch(key)
        while self._ready or self._lost or self._submitted:
            if not self._submit_next():
                if self._refused is GapCause.STREAM_FULL:
                    self._lose()
                    self._refused = GapCause.RING_OVERFLOW
                else:
                    await self._room(ROOM_WAIT_S)
            self._reap()

    def _close_batch(self, key: tuple[int, bool]) -> None:
        batches = self._open.pop(key).batches
        source = batches[0].schema.source
        self._ready.append(_Ready(self._entry(batches), source, GapCause.RING_OVERFLOW))

    async def _hand_over(self) -> None:
        """Submit what is ready; where there is no room for long, keep its account instead.

        No sample leaves `_ready` but into the journal or into `_lost`, so a cancellation loses
        nothing.
        """
        deadline = self._seams.clock.monotonic_s() + ROOM_WAIT_S
        while self._ready:
            if self._submit_next():
                continue
            left = deadline - self._seams.clock.monotonic_s()
            if left <= 0:
                self._lose()
                return
            await self._room(left)

    def _submit_next(self) -> bool:
        """Submit the gaps, or else a run of ready entries as one commit.

        While the stream is full they go together: a gap alone would be taken, again and again.
        False if there is no room.
        """
        together = self._refused is GapCause.STREAM_FULL
        run = self._next_run() if together or not self._lost else []
        if not run and (together or not self._lost):
            return False
        gaps = [
            gap_entry(
                Stream.TELEMETRY,
                Gap(cause, lost.time_from_ns, lost.time_to_ns, lost.samples, source),
            )
            for (source, cause), lost in self._lost.items()
        ]
        gone = sum(lost.samples for lost in self._lost.values())
        if not self._submit([*gaps, *run], gone + sum(entry.samples for entry in run)):
            return False
        for cause in {of for _, of in self._lost} - {GapCause.NOT_POLLED}:
            self._seams.events.emit(DATA_LOST, cause=cause.name, samples=gone)
        self._lost.clear()
        for _ in run:
            self._ready.popleft()
        return True

    def _next_run(self) -> list[Entry]:
        """Give ready entries that are one commit."""
        run: list[Entry] = []
        nbytes = 0
        for ready in self._ready:
            nbytes += len(ready.entry.payload)
            if run and nbytes > COMMIT_BYTES:
                break
            run.append(ready.entry)
        return run

    def _submit(self, entries: Sequence[Entry], samples: int) -> bool:
        try:
            future = self._journal.submit(entries)
        except JournalFull as refusal:
            full = isinstance(refusal, StreamFull)
            self._refused = GapCause.STREAM_FULL if full else GapCause.RING_OVERFLOW
            return False
        self._refused = GapCause.RING_OVERFLOW
        self._submitted.append((future, samples))
        return True

    async def _room(self, seconds: float) -> None:
        """Wait until the oldest commit is durable, or a moment if none of ours is on the way."""
        if self._submitted:
            await asyncio.wait([self._submitted[0][0]], timeout=seconds)
            self._reap()
        else:
            await self._seams.clock.sleep(min(seconds, ROOM_LOOK_S))

    def _entry(self, batches: Sequence[Batch]) -> Entry:
        schema = batches[0].schema
        return Entry(
            stream=Stream.TELEMETRY,
            kind=RecordKind.BATCH,
            payload=self._encoder.encode(batches),
            samples=sum(b.samples for b in batches),
            time_min_ns=min(int(b.times_ns.min()) for b in batches),
            time_max_ns=max(int(b.times_ns.max()) for b in batches),
            schema=self._encoded(schema),
        )

    def _encoded(self, schema: Schema) -> tuple[int, bytes]:
        encoded = self._schemas.get(schema.id)
        if encoded is None:
            encoded = self._schemas[schema.id] = (schema.id, encode_schema(schema))
        return encoded

    def _lose(self) -> None:
        """Turn what is ready into an account of it, one a source and cause.

        Of anchors the last stays: nothing is left between it and those before.
        """
        if not self._lost:
            self._seams.events.emit(RING_OVERFLOW, hint=_WHY[self._refused])
        anchors = [ready for ready in self._ready if ready.cause is None]
        while self._ready:
            ready = self._ready.popleft()
            entry = ready.entry
            if ready.cause is None:
                continue
            self.lost_samples += entry.samples
            begin, end = entry.time_min_ns, entry.time_max_ns
            overflown = ready.cause is GapCause.RING_OVERFLOW
            key = (ready.source, self._refused if overflown else ready.cause)
            lost = self._lost.setdefault(key, _Lost(0, begin, end))
            lost.samples += entry.samples
            lost.time_from_ns = min(lost.time_from_ns, begin)
            lost.time_to_ns = max(lost.time_to_ns, end)
        self._ready.extend(anchors[-1:])

    def _reap(self) -> None:
        """Forget what is durable; raise JournalFailed if the writer has failed."""
        while self._submitted and self._submitted[0][0].done():
            self._submitted.popleft()[0].result()
