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
from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.columnar import BatchEncoder, encode_anchor, encode_schema
from forebay.errors import JournalFull
from forebay.journal.entry import gap_entry
from forebay.journal.journal import Entry
from forebay.model import GapCause, RecordKind, Stream
from forebay.pipeline.anchors import Anchors
from forebay.pipeline.split import bounded, split
from forebay.pipeline.tail import PROMPT_EVERY_S, Tail
from forebay.pipeline.way import COMMIT_BYTES, Ready, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forebay.interfaces import Seams, Stage
    from forebay.model import Anchor, Batch, Gap, Schema
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


class JournalWriter(Protocol):
    """What the pipeline needs of the journal."""

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """See `forebay.journal.journal.Journal.submit`."""
        ...


class _Key(NamedTuple):
    """Batches with the same key may become one."""

    stream: Stream
    schema: int
    sparse: bool


@dataclass(slots=True)
class _Open:
    """Batches of one stream, schema and layout that wait to be one."""

    batches: list[Batch] = field(default_factory=list)
    nbytes: int = 0


class _Submitted(NamedTuple):
    """What is on its way to the disk."""

    done: asyncio.Future[None]
    stream: Stream
    samples: int


class Pipeline:
    """The intake of all sessions, and of all others who put something on record."""

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
        self._open: dict[_Key, _Open] = {}
        self._schemas: dict[int, tuple[int, bytes]] = {}
        self._of: dict[int, str] = {}
        self._ways = {stream: Way(stream, seams.events) for stream in Stream}
        self._submitted: deque[_Submitted] = deque()
        self._prompt: dict[_Key, float] = {}
        self._turns: list[asyncio.Future[bool]] = []
        self.tail = Tail()
        """What is on its way to the journal, for readers that cannot wait for the disk."""
        self.anchors = Anchors(seams)
        """What is known of the wall clock."""
        self._anchor = self.anchors.first
        self._begin(Stream.TELEMETRY)
        self.accepted_samples = 0
        """Samples taken over since the start, lost ones included."""

    @property
    def lost_samples(self) -> int:
        """Those of them that became a Gap because the journal had no room for long."""
        return sum(way.lost_samples for way in self._ways.values())

    def follow(
        self, stages: Mapping[str, tuple[Stage, ...]], commit_interval_s: float, gone: Iterable[str]
    ) -> None:
        """Go on with these stages and this interval; forget the schemas of devices that are `gone`.

        A device whose stages are not the same object begins with them at its next batch.
        """
        self._stages, self._interval_s = stages, commit_interval_s
        away = set(gone)
        forgotten = {id_ for id_, known in self._of.items() if known in away}
        for id_ in forgotten:
            del self._of[id_]
            self._schemas.pop(id_, None)
        self._prompt = {k: at for k, at in self._prompt.items() if k.schema not in forgotten}

    async def accept(self, batch: Batch) -> None:
        """See `forebay.interfaces.Intake.accept`."""
        batch = bounded(batch)
        if batch.stream is Stream.TELEMETRY:
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
            await self._hand_over(self._ways[batch.stream])

    async def commit(self, batch: Batch) -> None:
        """See `forebay.interfaces.Intake.commit`.

        It stands behind all of its stream that was accepted before. ValueError for a batch of more
        than COMMIT_BYTES. A cancellation leaves it open whether it becomes durable; what was taken
        is counted as pending until it is.
        """
        batch = bounded(batch)
        if batch.stream is Stream.TELEMETRY:
            self._shadow.update(batch)
        if batch.nbytes > COMMIT_BYTES:
            msg = f"a batch of {batch.nbytes} bytes is too large to be committed at once"
            raise ValueError(msg)
        way = self._begin(batch.stream)
        parts = [batch]
        if not self.anchors.explains(batch):
            parts = []
            for anchor, part in self.anchors.told_apart(batch):
                if anchor is not None:
                    self._put_anchor(anchor)
                if part is not None:
                    parts.append(part)
        for key in tuple(self._open):
            if key.stream is batch.stream:
                self._close_batch(key)
        await self._commit(way, parts)

    async def _commit(self, way: Way, parts: Sequence[Batch]) -> None:
        """Submit what waits on `way`, then `parts` as one commit, and wait until it is durable."""
        entries = [self._entry([part]) for part in parts]
        samples = sum(entry.samples for entry in entries)
        try:
            while self._submit_run(way):
                pass
            done = self._journal.submit(entries)
        except JournalFull as refusal:
            way.refuse(refusal)
            raise
        for part, entry in zip(parts, entries, strict=True):
            if self.tail.wants(part.stream, part.schema):
                self.tail.put([part], entry.payload)
        self.accepted_samples += samples
        self._submitted.append(_Submitted(done, way.stream, samples))
        await asyncio.shield(done)

    def account(self, gap: Gap) -> None:
        """See `forebay.interfaces.Intake.account`.

        Its times are of the clock as it is now, so the anchor before it must be as well.
        """
        anchor = self.anchors.look()
        if anchor is not None:
            self._put_anchor(anchor)
        for key, waiting in tuple(self._open.items()):
            ours = key.stream is Stream.TELEMETRY
            if ours and waiting.batches[0].schema.source == gap.source:
                self._close_batch(key)
        entry = gap_entry(Stream.TELEMETRY, gap)
        self._ways[Stream.TELEMETRY].put(Ready(entry, gap.source, gap.cause))

    async def watch_clock(self) -> None:
        """Look at the wall clock every second, until cancelled."""
        while True:
            await self._seams.clock.sleep(LOOK_AT_CLOCK_S)
            anchor = self.anchors.look()
            if anchor is not None:
                self._put_anchor(anchor)

    def _put_anchor(self, anchor: Anchor) -> None:
        """Put `anchor` behind all that was accepted, in every stream that has begun."""
        for key in tuple(self._open):
            self._close_batch(key)
        self._anchor = anchor
        for way in self._ways.values():
            if way.begun:
                way.put(Ready(_anchor_entry(way.stream, anchor), "", None))

    def _begin(self, stream: Stream) -> Way:
        """Give the way of `stream`; before its first data stands the anchor that is in force."""
        way = self._ways[stream]
        if not way.begun:
            way.begun = True
            way.put(Ready(_anchor_entry(stream, self._anchor), "", None))
        return way

    def _admit(self, batch: Batch) -> bool:
        """Let the stages have a batch and take what they leave; see `_take`."""
        out = self._staged(batch) if batch.stream is Stream.TELEMETRY else batch
        if out is None or not out.rows:
            return False
        self.accepted_samples += out.samples
        closed = [self._take(part) for part in split(out)]
        return any(closed)

    def _take(self, batch: Batch) -> bool:
        """Put a batch with its like, and close them if they are enough for a record.

        Gives whether they were closed. Never waits, so that what is accepted is taken whole.
        """
        key = _Key(batch.stream, batch.schema.id, batch.index is not None)
        waiting = self._open.get(key)
        if waiting is None:
            self._begin(batch.stream)
            waiting = self._open[key] = _Open()
        waiting.batches.append(batch)
        waiting.nbytes += batch.nbytes
        if waiting.nbytes < BATCH_BYTES:
            if self.tail.wants(batch.stream, batch.schema) and self._is_due(key):
                self._close_batch(key)
            return False
        self._close_batch(key)
        return True

    def _is_due(self, key: _Key) -> bool:
        """Whether a record may be closed early, for readers of the tail; not too often."""
        now_s = self._seams.clock.monotonic_s()
        if now_s - self._prompt.get(key, -1.0) < PROMPT_EVERY_S:
            return False
        self._prompt[key] = now_s
        return True

    def _staged(self, batch: Batch) -> Batch | None:
        out = batch
        for stage in self._stages.get(batch.schema.source, ()):
            passed = stage.apply(out)
            if passed is None:
                return None
            out = passed
        return out

    def pending_samples(self, stream: Stream | None = None) -> int:
        """Count what is accepted and not yet durable, of one stream or of all."""
        self._reap()
        opened = sum(
            batch.samples
            for key, waiting in self._open.items()
            for batch in waiting.batches
            if stream in (None, key.stream)
        )
        ways = (way.samples() for way in self._ways.values() if stream in (None, way.stream))
        return (
            opened
            + sum(ways)
            + sum(under.samples for under in self._submitted if stream in (None, under.stream))
        )

    async def run(self) -> None:
        """Close what is open every interval, until cancelled.

        Raises JournalFailed when the disk has failed.
        """
        while True:
            await self._seams.clock.sleep(self._interval_s)
            self._reap()
            for key in tuple(self._open):
                self._close_batch(key)
            for way in self._ways.values():  # none waits here because another has no room
                while way.ready and self._submit_next(way):
                    pass
            for way in self._ways.values():
                await self._hand_over(way)
                if way.owing and not way.ready:  # what is lost is told, though nothing new comes
                    self._submit_next(way)
            self._end_turn()

    async def settled(self) -> None:
        """Return when all that was accepted until now is durable, or a Gap accounts for it.

        That is with one of the next commits: nothing is hurried. JournalFailed if the disk fails.
        """
        submitted = False
        while not submitted:
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            submitted = await turn
        if self._submitted:
            await asyncio.shield(self._submitted[-1].done)

    def _end_turn(self) -> None:
        """Tell who waits in `settled` whether all that waited was handed over."""
        whole = not any(way.ready or way.owing for way in self._ways.values())
        turns, self._turns = self._turns, []
        for turn in turns:
            if not turn.done():
                turn.set_result(whole)

    async def close(self) -> None:
        """Hand everything over and wait until it is durable, however long the disk takes.

        Called once, after the last `accept`, cancelled ones included: what they left is still here.
        """
        for key in tuple(self._open):
            self._close_batch(key)
        while waiting := [way for way in self._ways.values() if way.ready or way.owing]:
            refused = [way for way in waiting if not self._submit_next(way)]
            full = [way for way in refused if way.full]
            for way in full:
                way.lose_for_good()
            if refused and not full:
                await self._room(ROOM_WAIT_S)
            self._reap()
        while self._submitted:
            await self._room(ROOM_WAIT_S)
            self._reap()
        self._end_turn()

    def _close_batch(self, key: _Key) -> None:
        batches = self._open.pop(key).batches
        schema = batches[0].schema
        entry = self._entry(batches)
        self._ways[key.stream].put(Ready(entry, schema.source, GapCause.RING_OVERFLOW))
        if self.tail.wants(key.stream, schema):
            self.tail.put(batches, entry.payload)

    async def _hand_over(self, way: Way) -> None:
        """Submit what is ready; where there is no room for long, keep its account instead.

        No sample leaves `way` but into the journal or into the account of what is lost, so a
        cancellation loses nothing.
        """
        deadline = self._seams.clock.monotonic_s() + ROOM_WAIT_S
        while way.ready:
            if self._submit_next(way):
                continue
            left = deadline - self._seams.clock.monotonic_s()
            if left <= 0:
                way.lose()
                return
            await self._room(left)

    def _submit_next(self, way: Way) -> bool:
        """Submit the next run of `way`. False if there is no room."""
        try:
            return self._submit_run(way)
        except JournalFull as refusal:
            way.refuse(refusal)
            return False

    def _submit_run(self, way: Way) -> bool:
        """Submit the next run of `way`; False if there is none. Raises JournalFull."""
        run = way.next_run()
        if run is None:
            return False
        done = self._journal.submit(run.entries)
        way.taken(run)
        self._submitted.append(_Submitted(done, way.stream, run.samples))
        return True

    async def _room(self, seconds: float) -> None:
        """Wait until the oldest commit is durable, or a moment if none of ours is on the way."""
        if self._submitted:
            await asyncio.wait([self._submitted[0].done], timeout=seconds)
            self._reap()
        else:
            await self._seams.clock.sleep(min(seconds, ROOM_LOOK_S))

    def _entry(self, batches: Sequence[Batch]) -> Entry:
        schema = batches[0].schema
        return Entry(
            stream=batches[0].stream,
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
            self._of[schema.id] = schema.source
        return encoded

    def _reap(self) -> None:
        """Forget what is durable; raise JournalFailed if the writer has failed."""
        while self._submitted and self._submitted[0].done.done():
            self._submitted.popleft().done.result()


def _anchor_entry(stream: Stream, anchor: Anchor) -> Entry:
    return Entry(
        stream=stream,
        kind=RecordKind.ANCHOR,
        payload=encode_anchor(anchor),
        samples=0,
        time_min_ns=anchor.wall_ns,
        time_max_ns=anchor.wall_ns,
    )
