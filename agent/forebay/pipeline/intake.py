"""The way into the journal.

Stages, shadow, batches closed by size or age, and the account of what found no room.

Owns samples from `accept` until the journal has made them durable. Must not know protocols, files
or destinations.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from forebay.columnar import BatchEncoder, encode_gap, encode_schema
from forebay.errors import JournalFull
from forebay.events import DATA_LOST, RING_OVERFLOW
from forebay.journal.journal import Entry
from forebay.model import Gap, GapCause, RecordKind, Stream
from forebay.pipeline.split import split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.interfaces import Seams, Stage
    from forebay.model import Batch, Schema
    from forebay.pipeline.shadow import Shadow

BATCH_BYTES = 256 << 10
"""Raw bytes at which a batch is closed early.

Encoded that is 16-64 KiB of process data (bench/encode).
"""
ROOM_WAIT_S = 1.0
"""How long `accept` waits for room before a Gap takes the batch's place."""


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
    samples: int = 0


@dataclass(slots=True)
class _Lost:
    """Samples of one source for which there was no room."""

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
        self._submitted: deque[tuple[asyncio.Future[None], int]] = deque(maxlen=100_000)
        self._lost: dict[str, _Lost] = {}
        self.accepted_samples = 0
        """Samples taken over since the start, lost ones included."""

    async def accept(self, batch: Batch) -> None:
        """See `forebay.interfaces.Intake.accept`."""
        self._shadow.update(batch)
        out = self._staged(batch)
        if out is None or not out.rows:
            return
        self.accepted_samples += out.samples
        for part in split(out):
            await self._take(part)

    async def _take(self, batch: Batch) -> None:
        """Put a batch with its like, and hand them over if they are enough for a record."""
        key = (batch.schema.id, batch.index is not None)
        waiting = self._open.get(key)
        if waiting is None:
            waiting = self._open[key] = _Open()
        waiting.batches.append(batch)
        waiting.samples += batch.samples
        waiting.nbytes += batch.nbytes
        if waiting.nbytes >= BATCH_BYTES:
            del self._open[key]
            await self._hand_over([waiting])

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
        queued = sum(samples for _, samples in self._submitted)
        lost = sum(lost.samples for lost in self._lost.values())
        return queued + lost + sum(waiting.samples for waiting in self._open.values())

    async def run(self) -> None:
        """Close what is open every interval, until cancelled.

        Raises JournalFailed when the disk has failed.
        """
        while True:
            await self._seams.clock.sleep(self._interval_s)
            await self._flush()

    async def close(self) -> None:
        """Hand everything over and wait until it is durable.

        Called once, after the last `accept`.
        """
        await self._flush()
        while self._submitted:
            await self._submitted[0][0]
            self._reap()

    async def _flush(self) -> None:
        self._reap()
        waiting, self._open = list(self._open.values()), {}
        if waiting or self._lost:
            await self._hand_over(waiting)

    async def _hand_over(self, waiting: Sequence[_Open]) -> None:
        """Submit as one commit.

        Where there is no room for long, keep the account instead of the data.
        """
        entries = [self._entry(w.batches) for w in waiting]
        deadline = self._seams.clock.monotonic_s() + ROOM_WAIT_S
        while True:
            gaps = [self._gap_entry(source, lost) for source, lost in self._lost.items()]
            samples = sum(w.samples for w in waiting) + sum(
                lost.samples for lost in self._lost.values()
            )
            try:
                future = self._journal.submit([*gaps, *entries])
            except JournalFull:
                self._reap()
                left = deadline - self._seams.clock.monotonic_s()
                if left <= 0 or not self._submitted:
                    self._lose(waiting)
                    return
                await asyncio.wait([self._submitted[0][0]], timeout=left)
            else:
                for gap in self._lost.values():
                    self._seams.events.emit(
                        DATA_LOST, cause=GapCause.RING_OVERFLOW.name, samples=gap.samples
                    )
                self._lost.clear()
                self._submitted.append((future, samples))
                return

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

    def _gap_entry(self, source: str, lost: _Lost) -> Entry:
        gap = Gap(GapCause.RING_OVERFLOW, lost.time_from_ns, lost.time_to_ns, lost.samples, source)
        return Entry(
            stream=Stream.TELEMETRY,
            kind=RecordKind.GAP,
            payload=encode_gap(gap),
            samples=lost.samples,
            time_min_ns=lost.time_from_ns,
            time_max_ns=lost.time_to_ns,
            schema=None,
        )

    def _lose(self, waiting: Sequence[_Open]) -> None:
        self._seams.events.emit(RING_OVERFLOW, samples=sum(w.samples for w in waiting))
        for batch in (b for w in waiting for b in w.batches):
            begin, end = int(batch.times_ns.min()), int(batch.times_ns.max())
            lost = self._lost.setdefault(batch.schema.source, _Lost(0, begin, end))
            lost.samples += batch.samples
            lost.time_from_ns, lost.time_to_ns = (
                min(lost.time_from_ns, begin),
                max(lost.time_to_ns, end),
            )

    def _reap(self) -> None:
        """Forget what is durable; raise JournalFailed if the writer has failed."""
        while self._submitted and self._submitted[0][0].done():
            self._submitted.popleft()[0].result()
