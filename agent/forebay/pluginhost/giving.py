"""From a plugin to the journal and the gate: results that are checked, in order, within quota.

Owns the way of results. Must not know where windows come from, nor how far the plugin is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from forebay.clock import stamp
from forebay.model import Gap, GapCause, Stream
from forebay.pluginhost.quota import Quota
from forebay.pluginhost.results import (
    asked,
    bytes_of_rows,
    checked,
    events,
    nbytes_of,
    results_schemas,
    sparse,
)
from forebay.pluginhost.seams import OutputKind, Verdict
from forebay.pluginhost.windows import Taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.interfaces import Seams
    from forebay.model import Batch
    from forebay.pluginhost.results import Asked, Piece
    from forebay.pluginhost.seams import Results, Work
    from forebay.pluginhost.settings import Instance
    from forebay.pluginhost.views import IntakeView, Write

FRESH_S = 10.0
"""A write is asked for only while the data that it follows from are this young."""
WRITES_AT_ONCE = 32
CHUNK_BYTES = 1 << 20
"""Results that become one batch, unless one sample is larger."""
_STREAM = {
    OutputKind.BLOB: Stream.BULK,
    OutputKind.EVENT: Stream.EVENTS,
    OutputKind.TAG: Stream.TELEMETRY,
}
"""In the order in which results are handed over: derived tags last, for what follows from them."""


class Giving:
    """The results of one instance."""

    def __init__(
        self, instance: Instance, intake: IntakeView, write: Write | None, seams: Seams
    ) -> None:
        """Give to `intake`, and to the gate by `write`; None where nothing may be written."""
        self._name, self._outputs = instance.name, instance.outputs
        self._intake, self._write, self._clock = intake, write, seams.clock
        self.shapes = results_schemas(instance.name, instance.outputs)
        """The schemas of the results."""
        kinds = {output.kind for output in instance.outputs}
        self.streams = tuple(stream for kind, stream in _STREAM.items() if kind in kinds)
        """Where results go."""
        now_s = self._clock.monotonic_s()
        self._samples = Quota(instance.limits.samples_per_s, now_s)
        self._bytes = Quota(float(instance.limits.bytes_per_s), now_s)
        self._writing: set[asyncio.Task[None]] = set()
        self.writes: Counter[str] = Counter()
        """How writes ended, by outcome."""

    async def give(self, work: Work, results: Results, standing: Mapping[Stream, int]) -> Verdict:
        """Check results and hand over what may stand.

        What `standing` says to stand in a stream already, up to a window's number, is left out.
        Waits as long as the quota wants it. A window that failed leaves a Gap(NOT_COMPUTED).
        """
        refused: Counter[str] = Counter()
        pieces = self._within(checked(work, results, self._outputs, refused), refused)
        self._ask(work, pieces, refused)
        await self._pace(results)
        for kind, stream in _STREAM.items():
            mine = [piece for piece in pieces if self._outputs[piece.output].kind is kind]
            begin = max(0, standing.get(stream, -1) + 1 - work.windows.first)
            for chunk in _chunks(mine, begin, len(work.windows)):
                await self._intake.accept(self._batch(stream, chunk, work.windows.first))
        self._account(work, results.failures)
        failed = sorted(results.failures)
        return Verdict(
            samples=sum(len(piece.values) for piece in pieces),
            refused={reason: count for reason, count in refused.items() if count},
            failed=len(failed),
            failure=results.failures[failed[-1]] if failed else "",
        )

    async def close(self) -> None:
        """Wait for writes that are on their way: the gate says how long that takes at most."""
        if self._writing:
            await asyncio.wait(self._writing)

    def _within(self, pieces: Sequence[Piece], refused: Counter[str]) -> list[Piece]:
        """Give what a full quota lets through; the first that does not fit, and all behind."""
        samples, nbytes = sum(len(p.values) for p in pieces), sum(p.nbytes for p in pieces)
        if samples <= self._samples.most and nbytes <= self._bytes.most:
            return list(pieces)
        order = np.argsort(np.concatenate([p.windows for p in pieces]), kind="stable")
        sizes = np.concatenate([bytes_of_rows(p.values) for p in pieces])
        fits = np.cumsum(sizes[order]) <= self._bytes.most
        fits[int(self._samples.most) :] = False
        refused["quota"] += len(fits) - int(np.count_nonzero(fits))
        kept = np.empty_like(fits)
        kept[order] = fits
        parts = np.split(kept, np.cumsum([len(p.values) for p in pieces])[:-1])
        return [p.where(part) for p, part in zip(pieces, parts, strict=True) if part.any()]

    async def _pace(self, results: Results) -> None:
        """Wait until the quota has room for all that was given.

        What was refused counts, too: checking it cost as much, and other tasks wait meanwhile.
        """
        held = [column.values for column in results.columns]
        for quota, given in (
            (self._samples, sum(map(len, held))),
            (self._bytes, sum(map(nbytes_of, held))),
        ):
            amount = min(given, quota.most)
            wait_s = quota.wait_s(amount, self._clock.monotonic_s())
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            quota.take(amount, self._clock.monotonic_s())

    def _batch(self, stream: Stream, pieces: Sequence[Piece], first: int) -> Batch:
        """Give pieces, of a work whose first window has the number `first`, as one batch."""
        now = stamp(self._clock)
        number = first + max(int(piece.windows[-1]) for piece in pieces)
        if stream is Stream.EVENTS:
            assert self.shapes.events is not None
            return events(self.shapes.events, pieces, self._outputs, first, number, now)
        schema = self.shapes.results if stream is Stream.TELEMETRY else self.shapes.blobs
        assert schema is not None
        column = {tag.name: place for place, tag in enumerate(schema.tags)}
        mine = [(column[self._outputs[piece.output].name], piece) for piece in pieces]
        return sparse(schema, stream, mine, number, now)

    def _account(self, work: Work, failed: Mapping[int, str]) -> None:
        """Leave a gap for windows that the plugin could not work on, one for each run of them."""
        run: list[tuple[int, int]] = []
        behind = -1
        for place in sorted(failed):
            window = work.windows[place]
            if run and place != behind:
                self._gap(run)
                run = []
            run.append((window.begin_ns, window.end_ns))
            behind = place + 1
        if run:
            self._gap(run)

    def _gap(self, run: Sequence[tuple[int, int]]) -> None:
        begin_ns, end_ns = min(b for b, _ in run), max(e for _, e in run)
        self._intake.account(Gap(GapCause.NOT_COMPUTED, begin_ns, end_ns, 0, self._name))

    # --- writes -----------------------------------------------------------------------------------

    def _ask(self, work: Work, pieces: Sequence[Piece], refused: Counter[str]) -> None:
        """Ask the gate for what is to be written, unless what it follows from is old."""
        mine = [p for p in pieces if self._outputs[p.output].kind is OutputKind.WRITE]
        if not mine:
            return
        assert isinstance(work.mark, Taken)
        oldest_ns = self._clock.now_ns() - round(FRESH_S * 1e9)
        fresh = work.mark.received_ns >= oldest_ns
        for ask in asked(mine, self._outputs, work.windows, refused):
            if self._write is None:
                refused["writes are not enabled"] += 1
            elif not fresh[ask.number - work.windows.first]:
                refused["write from old data"] += 1
            elif len(self._writing) >= WRITES_AT_ONCE:
                refused["too many writes at once"] += 1
            else:
                task = asyncio.create_task(
                    self._written(self._write, ask), name=f"plugin-write[{self._name}]"
                )
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)

    async def _written(self, write: Write, ask: Asked) -> None:
        device, _, tag = ask.output.target.partition("/")
        id_ = write_id(self._name, ask.end_ns, ask.output.name)
        outcome, _ = await write(device, tag, ask.value, id_, f"{ask.output.name} of {self._name}")
        self.writes[outcome] += 1


def write_id(name: str, end_ns: int, output: str) -> str:
    """Give the id of a write: of one window and output it is always the same (at most 64)."""
    digest = hashlib.sha256(f"{name}\n{end_ns}\n{output}".encode()).hexdigest()
    return f"{name[:24]}-{digest[:32]}"


def _chunks(pieces: Sequence[Piece], begin: int, end: int) -> list[list[Piece]]:
    """Cut pieces into runs of about CHUNK_BYTES, of whole windows from `begin` up to `end`."""
    bounds = [begin]
    if sum(piece.nbytes for piece in pieces) > CHUNK_BYTES:
        sizes = np.zeros(end)
        for piece in pieces:
            sizes += np.bincount(piece.windows, bytes_of_rows(piece.values), end)
        nbytes = 0.0
        for window in range(begin, end):
            if nbytes and nbytes + sizes[window] > CHUNK_BYTES:
                bounds.append(window)
                nbytes = 0.0
            nbytes += sizes[window]
    bounds.append(end)
    whole = bounds == [0, end]
    chunks = [
        [part for part in (p if whole else p.of(low, high) for p in pieces) if len(part.values)]
        for low, high in pairwise(bounds)
    ]
    return [chunk for chunk in chunks if chunk]
