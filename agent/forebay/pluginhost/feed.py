"""The data of one plugin: windows out of the journal, checked results into it, once.

Owns how far the plugin is. Must not know processes, sockets or how windows are cut.

    journal, tail ──Following──▶ Windows ──next──▶ Work ─ ─ ▶ plugin
                                                               │
    intake ◀──batches── giving.give ◀────done── Results ◀ ─ ─ ─┘
       └─ settled ──▶ progress file (and the cursor, if it holds data back)
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.events import PLUGIN_PROGRESS_LOST, PLUGIN_SKIPPED
from forebay.model import Gap, GapCause, Position
from forebay.pluginhost import progress as progresses
from forebay.pluginhost.following import Following, Mark, Snapshot
from forebay.pluginhost.giving import Giving
from forebay.pluginhost.rows import Selection, key_of
from forebay.pluginhost.rule import Rule
from forebay.pluginhost.splitting import split
from forebay.pluginhost.status import Figures
from forebay.pluginhost.windows import Moment, Taken, Through, Windows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.model import Schema, Stream
    from forebay.pluginhost.following import Fresh
    from forebay.pluginhost.progress import Progress
    from forebay.pluginhost.seams import Input, Output, Results, Verdict, Work
    from forebay.pluginhost.settings import Instance
    from forebay.pluginhost.views import (
        CursorView,
        FollowedJournal,
        IntakeView,
        Subscribable,
        Write,
    )

CURSOR = "plugin."
"""Begins the names of plugins' cursors."""
SAVE_EVERY_S = 5.0
CONFIRM_EVERY_S = 1.0
CLOSE_S = 5.0
"""How long a feed that ends waits for the disk to have its results."""
BUFFER_BYTES = 256 << 20
"""What rows may take in memory while no window is complete; beyond it they are passed over."""
FILL_BYTES = 2 << 20
"""Up to so much in memory, a work of a backlog that is not full waits for the next read."""


@dataclass(frozen=True, slots=True)
class FeedParts:
    """What a feed stands on.

    `write` asks the gate; None where nothing may be written. `file` is where progress is kept.
    """

    journal: FollowedJournal
    intake: IntakeView
    tail: Subscribable
    seams: Seams
    file: Path
    write: Write | None = None


class JournalFeed:
    """Implements `seams.Feed` for one instance over the journal.

    Takes its place in the journal at the first `next`.
    """

    def __init__(
        self, instance: Instance, parts: FeedParts, schemas: Iterable[tuple[Stream, Schema]]
    ) -> None:
        """Choose inputs among `schemas`, which are those of all devices and plugins."""
        self._instance, self._parts = instance, parts
        self._journal, self._tail = parts.journal, parts.tail
        self._name, self._clock = instance.name, parts.seams.clock
        self._rule = Rule.of(instance.window)
        self._schemas = {(stream, one.source, one.group): one for stream, one in schemas}
        self._giving = Giving(instance, parts.intake, parts.write, parts.seams)
        self.changed = asyncio.Event()
        """See `seams.Feed.changed`."""
        self.figures = Figures()
        """What is counted."""
        self._selection = self._select()
        self._changing = False
        self._told: tuple[Input, ...] | None = None
        self._cut: tuple[object, ...] = ()
        self._windows = Windows(self._rule, (), lambda _: ())
        self._done = Through()
        self._given = 0
        self._old_given = 0
        self._oldest_ns = 0
        self._followings: dict[Stream, Following] = {}
        self._behind: dict[Stream, Mark] = {}
        self._more: asyncio.Event | None = None
        self._standing: dict[Stream, int] = {}
        self._saved: Progress | None = None
        self._cursor: CursorView | None = None
        self._closed = False
        self._saving = asyncio.Lock()

    def know(self, gone: Collection[str], schemas: Iterable[tuple[Stream, Schema]]) -> None:
        """Choose inputs among `schemas` from now on, and what else came of sources not `gone`."""
        kept = {key: one for key, one in self._schemas.items() if key[1] not in gone}
        self._schemas = kept | {(stream, one.source, one.group): one for stream, one in schemas}
        if self._select().inputs != self._selection.inputs:
            self._change()

    def _change(self) -> None:
        """Tell that inputs change, as soon as what is ready was given with those of now."""
        self._changing = True
        if not self._windows.ready:
            self.changed.set()
        if self._more is not None:
            self._more.set()

    # --- what it gives ----------------------------------------------------------------------------

    @property
    def outputs(self) -> Sequence[Output]:
        """See `seams.Feed.outputs`."""
        return self._instance.outputs

    def inputs(self) -> Sequence[Input]:
        """See `seams.Feed.inputs`."""
        if self._changing and (self._given or self._old_given or self._windows.ready):
            return self._selection.inputs
        self._changing = False
        self.changed.clear()
        self._selection = self._select()
        if self._told != self._selection.inputs:
            first, self._told = self._told is None, self._selection.inputs
            if not first and self._followings:
                self._leave_unfinished()
                self._begin_anew()
        return self._selection.inputs

    def lag_s(self) -> float:
        """Give the age of the oldest data that is not worked on yet, 0 if there is none (s)."""
        waiting = [f.time_ns for f in self._followings.values() if not f.joined and f.time_ns]
        if self._given or self._windows.ready:
            waiting.append(self._oldest_ns)
        waiting = [at for at in waiting if at]
        return max(0.0, (self._clock.now_ns() - min(waiting)) / 1e9) if waiting else 0.0

    async def next(self) -> Work:
        """See `seams.Feed.next`."""
        if not self._followings:
            await self._take_place()
        assert self._more is not None
        while True:
            self._windows.pass_over(self._worked_on())
            if self._windows.ready:
                if not self._changing and await self._more_at_hand():
                    continue
                return self._taken()
            self._more.clear()
            if self._changing:
                self.changed.set()
                await self._more.wait()
                continue
            behind = [f for f in self._followings.values() if not f.joined]
            fresh = [one for f in self._followings.values() for one in f.live()]
            if not fresh and behind and not self._changing:
                slowest = min(behind, key=lambda f: f.time_ns)
                await self._pass_over_old(slowest)
                fresh = await slowest.catch_up()
                if not fresh:
                    await self._clock.sleep(0)
                    continue
            if not fresh:
                await self._more.wait()
            for one in fresh:
                self._add(one)

    async def _more_at_hand(self) -> bool:
        """Fill a work of a backlog: whether more was read, which then is to be looked at.

        What is live never waits for more, nor what has much in memory already.
        """
        ready = self._windows.ready
        if ready >= self._instance.manifest.plugin.batch or self._windows.nbytes > FILL_BYTES:
            return False
        if self._instance.start == "newest" or any(f.joined for f in self._followings.values()):
            return False
        slowest = min(self._followings.values(), key=lambda f: f.time_ns)
        if not slowest.waits_in_journal:
            return False
        fresh = await slowest.catch_up()
        for one in fresh:
            self._add(one)
        return bool(fresh)

    def _taken(self) -> Work:
        """Give the next work of windows that are ready."""
        work = self._windows.take(self._instance.manifest.plugin.batch)
        assert work is not None
        assert isinstance(work.mark, Taken)
        if not self._given:
            self._oldest_ns = int(work.mark.received_ns.min())
        self._given += 1
        if self._changing and not self._windows.ready:
            self.changed.set()
        return work

    def split(self, work: Work) -> Sequence[Work]:
        """See `seams.Feed.split`."""
        parts = split(work)
        self._given += len(parts) - 1
        return parts

    # --- what it gets -----------------------------------------------------------------------------

    async def done(self, work: Work, results: Results) -> Verdict:
        """See `seams.Feed.done`."""
        verdict = await self._giving.give(work, results, self._standing)
        self._end(work)
        return verdict

    async def passed(self, work: Work, reason: str) -> None:
        """See `seams.Feed.passed`."""
        del reason  # the host tells it
        windows = work.windows
        self.figures.gaps += 1
        self._leave_gap(int(windows.begin_ns.min()), int(windows.end_ns.max()))
        self._end(work)

    def _leave_gap(self, begin_ns: int, end_ns: int) -> None:
        gap = Gap(GapCause.NOT_COMPUTED, begin_ns, end_ns, 0, self._name)
        self._parts.intake.account(gap)

    def _end(self, work: Work) -> None:
        mark = work.mark
        assert isinstance(mark, Taken)
        if mark.of is not self._windows:
            self._old_given -= 1
            return
        self._given -= 1
        self._done = mark.after
        self._forgotten(self._windows.forget(self._done))
        self._oldest_ns = int(mark.received_ns[-1])

    # --- where it reads ---------------------------------------------------------------------------

    async def _take_place(self) -> None:
        """Read how far the plugin was, and what of its results stands behind that."""
        await self._journal.opened()
        await self._parts.intake.settled()  # what the feed before this one gave can be found
        streams = self._selection.streams
        saved = await self._load()
        if saved is None:
            at = {s: self._begin(s) for s in streams}
            saved = progresses.Progress(self._cut_now(), Moment(Through(), {}), at, self._ends())
            await self._write(saved)
        standing = await progresses.standing(
            self._journal, self._name, saved.ends, self._giving.streams
        )
        if self._instance.start == "all":
            self._cursor = self._journal.cursor(CURSOR + self._name)
        self._saved, self._standing = saved, standing
        self._cut = self._cut_now()
        moment = saved.moment
        if self._instance.start == "newest" or list(saved.cut) != list(self._cut):
            number = max([moment.through.number, *(n + 1 for n in standing.values())])
            moment = Moment(Through(number), {})
        self._start(moment)
        self._more = self._tail.subscribe(self, self._wants)
        self._followings = {
            stream: Following(
                self._sound(stream, saved), self._journal, self._tail,
                self._parts.intake.settled, self._reads,
            )
            for stream in streams
        }  # fmt: skip

    def _begin(self, stream: Stream) -> Position:
        """Give where a plugin begins that never ran: as it says, at the oldest or the newest."""
        if self._instance.start == "all":
            return Position(stream, 0, 0)
        return self._journal.newest(stream)

    def _sound(self, stream: Stream, saved: Progress) -> Position:
        """Give where to read on; what the journal never had is another journal's."""
        newest = self._journal.newest(stream)
        position = saved.positions.get(stream, self._begin(stream))
        if self._instance.start == "newest":
            self._tell_skipped(position, newest)
            return newest
        return min(position, newest)

    async def _pass_over_old(self, following: Following) -> None:
        """Go to the newest, if that is what the plugin wants and it is not there."""
        newest = self._journal.newest(following.stream)
        if self._instance.start == "newest" and following.read_to < newest and following.whole:
            self._tell_skipped(following.read_to, newest)
            following.skip(newest)

    def _tell_skipped(self, position: Position, newest: Position) -> None:
        passed = {position.epoch: position.seq}
        records = sum(
            max(0, one.last_seq - max(one.first_seq - 1, passed.get(one.epoch, 0)))
            for one in self._journal.segments()
            if one.stream is position.stream and one.epoch >= position.epoch
        )
        if position < newest and records:
            self._tell_passed_over(position.stream, records)

    def _tell_passed_over(self, stream: Stream, records: int) -> None:
        self.figures.skipped += records
        self._parts.seams.events.emit(
            PLUGIN_SKIPPED, plugin=self._name, stream=stream.value, records=records
        )

    def _start(self, moment: Moment) -> None:
        self._windows = Windows(self._rule, self._selection.inputs, self._selection.members, moment)
        self._done = moment.through

    def _leave_unfinished(self) -> None:
        """Account for rows that would have been in the next windows, if inputs were the same."""
        found = self._windows.unfinished()
        if found is None:
            return
        self._leave_gap(found.begin_ns, found.end_ns)
        marks = [mark for mark in found.records if isinstance(mark, Mark)]
        for stream, records in Counter(mark.stream for mark in marks).items():
            self._tell_passed_over(stream, records)

    def _begin_anew(self) -> None:
        """Go on with other inputs: with windows that begin now."""
        self._count()
        self._forgotten(self._windows.pending())
        number = self._windows.through.number
        self._old_given += self._given
        self._given = 0
        self._cut = self._cut_now()
        self._start(Moment(Through(number), {}))
        for stream in self._selection.streams:
            if stream not in self._followings:
                self._followings[stream] = Following(
                    self._journal.newest(stream), self._journal, self._tail,
                    self._parts.intake.settled, self._reads,
                )  # fmt: skip
        self._tail.subscribe(self, self._wants)

    def _cut_now(self) -> tuple[object, ...]:
        """Name how windows are cut: numbers of rows mean nothing under another cut."""
        rule = self._rule
        leader = self._selection.inputs[0].tag if self._selection.inputs else ""
        return (rule.rows, rule.stride, rule.every_ns, rule.length_ns, leader)

    def _select(self) -> Selection:
        known = [(key[0], schema) for key, schema in self._schemas.items()]
        return Selection(self._instance.inputs, known, self._name)

    def _reads(self, stream: Stream, schema: Schema) -> bool:
        return self._selection.of(stream, schema) is not None

    def _wants(self, stream: Stream, schema: Schema) -> bool:
        """Whether batches of `schema` are wanted; one that was not known may bring more inputs."""
        key = stream, schema.source, schema.group
        if key not in self._schemas and schema.source != self._name:
            self._schemas[key] = schema
            if self._select().inputs != self._selection.inputs:
                self._change()
                return True
        return self._reads(stream, schema)

    def _add(self, fresh: Fresh) -> None:
        blocks = []
        for batch in fresh.batches:
            chosen = self._selection.of(batch.stream, batch.schema)
            if chosen is not None:
                together = self._windows.together(key_of(batch))
                blocks += list(self._selection.blocks(batch, chosen, together=together))
        self._windows.add(blocks, fresh.mark)
        if self._windows.nbytes > BUFFER_BYTES and not self._windows.ready:
            self._tell_passed_over(fresh.mark.stream, self._windows.records)
            self._begin_anew()

    def _worked_on(self) -> int:
        """Give up to which window all results stand already, from before a kill."""
        streams = self._giving.streams
        return min((self._standing.get(s, -1) for s in streams), default=-1)

    # --- how far it is ----------------------------------------------------------------------------

    async def run(self) -> None:
        """See `seams.Feed.run`: find positions, and save how far all is. JournalErrors."""
        self._more = self._tail.subscribe(self, self._wants)
        due_s = self._clock.monotonic_s() + SAVE_EVERY_S
        while not self._closed:
            await self._clock.sleep(CONFIRM_EVERY_S)
            await self._confirm()
            if self._clock.monotonic_s() >= due_s:
                await self.save()
                due_s = self._clock.monotonic_s() + SAVE_EVERY_S

    async def close(self) -> None:
        """See `seams.Feed.close`. The intake must still run."""
        self._closed = True
        await self._giving.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.save()
        except TimeoutError:
            pass  # the disk takes nothing: the next start searches for what stands
        finally:
            self._tail.unsubscribe(self)

    async def save(self) -> None:
        """Make durable how far all is, as soon as the results until now are."""
        async with self._saving:  # a file that two write at once is nobody's
            await self._save()

    async def _save(self) -> None:
        self._count()
        if not self._followings or self._old_given:
            return
        snapshot = self._snapshot()
        await self._parts.intake.settled()
        await self._confirm()
        read = snapshot.positions()
        if read is None:
            return
        positions = {**(self._saved or progresses.Progress()).positions, **read}
        moved = progresses.Progress(self._cut, snapshot.moment, positions, self._ends())
        if self._saved is None or (moved.positions, moved.moment) != (
            self._saved.positions,
            self._saved.moment,
        ):
            await self._write(moved)
            self._saved = moved
            if self._cursor is not None:
                for position in positions.values():
                    self._cursor.advance(position)

    async def _confirm(self) -> None:
        """Find the positions of what was taken from memory."""
        for following in tuple(self._followings.values()):
            if following.joined:
                await following.confirm()
        if self._more is not None:
            self._more.set()

    def _snapshot(self) -> Snapshot:
        first: dict[Stream, Mark] = {}
        for mark in self._windows.pending():
            assert isinstance(mark, Mark)
            first.setdefault(mark.stream, mark)
            if len(first) == len(self._followings):
                break
        read_to = {s: f.read_to for s, f in self._followings.items()}
        moment = self._windows.moment(self._done)
        return Snapshot(moment, first, dict(self._behind), read_to)

    def _forgotten(self, marks: Iterable[object]) -> None:
        for mark in marks:
            assert isinstance(mark, Mark)
            self._behind[mark.stream] = mark

    def _ends(self) -> dict[Stream, Position]:
        return {stream: self._journal.newest(stream) for stream in self._giving.streams}

    def _count(self) -> None:
        """Take over what was counted elsewhere."""
        figures, windows = self.figures, self._windows.counts
        figures.late += windows["late"]
        figures.ahead += windows["ahead"]
        windows.update(late=0, ahead=0)
        figures.damaged = sum(f.damaged for f in self._followings.values())
        figures.thinned = sum(f.thinned for f in self._followings.values())
        figures.writes = self._giving.writes

    async def _load(self) -> Progress | None:
        disk = self._parts.seams.disk
        try:
            return await asyncio.to_thread(progresses.load, self._parts.file, disk)
        except ValueError as error:
            self._parts.seams.events.emit(
                PLUGIN_PROGRESS_LOST, plugin=self._name, file=str(self._parts.file),
                error=str(error), hint="it goes on with the newest data",
            )  # fmt: skip
            at = {s: self._journal.newest(s) for s in self._selection.streams}
            return progresses.Progress((), Moment(Through(), {}), at, {})

    async def _write(self, progress: Progress) -> None:
        disk = self._parts.seams.disk
        await asyncio.to_thread(progresses.save, self._parts.file, disk, progress)
