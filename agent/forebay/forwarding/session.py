"""One session with a destination: lanes, a sender, a receiver and the deadline for acks.

Owns what happens between Terms and the session's end. Must not know connecting, back-off or what
comes after a failure.

    journal ─▶ Feed (one or two a stream) ─▶ Sender ─▶ Uplink.send
                                               ▲ credit, pace, budget
    cursor ◀── Window ◀──────────────────── receiver ◀── Uplink.receipts
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from forebay.cancellation import strict
from forebay.errors import UplinkUnavailable
from forebay.events import UPLINK_REJECTED
from forebay.forwarding.aside import FORKED
from forebay.forwarding.feed import Feed
from forebay.forwarding.lag import Split, live_from
from forebay.forwarding.resume import testify
from forebay.forwarding.route import Route
from forebay.forwarding.sender import Sender
from forebay.forwarding.window import Window
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.forwarding.coverage import Coverage
    from forebay.forwarding.line import Line
    from forebay.forwarding.resume import Start
    from forebay.interfaces import Receipt, Terms
    from forebay.model import Record

TICK_S = 1.0
"""How often lanes, budgets and deadlines are looked at."""
SILENT_S = 5.0
"""Without an ack for so long, a session's end need not come from what the destination has got."""
SOON_S = 1e-6
"""What is left of a wait when it is over: differences of clocks are never exactly zero."""
EPOCH_BEGUN = UplinkUnavailable(
    "the journal has begun a new epoch",
    hint="nothing to do: the destination is told of it in a new session",
    wait_s=0.0,
)


class Session:
    """Moves records from `start` on until something ends it. Made anew for each session."""

    def __init__(
        self,
        line: Line,
        terms: Terms,
        start: Start,
        old: Mapping[Stream, bool],
        epoch: int = 0,
    ) -> None:
        """Begin at `start`; `old` says of which streams the backlog is worth a lane of its own.

        `epoch` is the one that the journal wrote in when the destination was told of its heads.
        """
        self.window = Window(start.there, terms.credit_bytes, {*start.doubts, *start.owed})
        self.progressed = False
        self._setting_aside = False
        self.cut_short = False
        """Whether it has ended while a slow line may still have been carrying what is in flight."""
        self._starved_since_s: float | None = None
        self._line, self._terms, self._start, self._old = line, terms, start, old
        self._epoch = epoch
        self._doubts = dict(start.doubts)
        self._routes: dict[Stream, Route] = {}
        self._sender = Sender(line, self.window, self._routes, terms.max_record_bytes)

    async def run(self, ack_deadline_s: float) -> NoReturn:
        """Forward until cancelled; any other end is an ExceptionGroup of what its tasks raised."""
        name = self._line.name
        try:
            async with asyncio.TaskGroup() as tasks:
                for stream in Stream:
                    self._routes[stream] = self._route(stream, tasks)
                self._tend()
                tasks.create_task(strict(self._sender.run), name=f"forwarder[{name}].sender")
                tasks.create_task(strict(self._receive), name=f"forwarder[{name}].receiver")
                await self._watch(ack_deadline_s)
        finally:
            self.cut_short = self._may_be_carrying()
            self._sender.give_up()
        raise AssertionError("a task group ends by an exception of its tasks")

    async def retry(self, record: Record) -> bool:
        """Send a record out of quarantine by itself; give whether the destination took it."""
        return await self._sender.retry(record)

    def held(self) -> str:
        """Say why records that are there and could go do not; empty: nothing is held."""
        return self._sender.held()

    def stuck(self) -> str:
        """Give of that what no limit of ours is."""
        return self._sender.stuck()

    def _route(self, stream: Stream, tasks: asyncio.TaskGroup) -> Route:
        """Begin a stream, with two lanes if its backlog is worth it."""
        line = self._line
        source = (line.journal, line.cursor, line.seams.clock)

        def start(after: Position) -> tuple[Feed, asyncio.Task[NoReturn]]:
            feed = Feed(source, after, self.window, self._sender.wake)
            name = f"forwarder[{line.name}].feed.{stream}"
            return feed, tasks.create_task(feed.run(), name=name)

        after = self._start.after[stream]
        line.cursor.begin(stream, after, _islands(self._start.there, after))
        route = Route(stream, start, after)
        end = line.journal.newest(stream)
        there = self.window.there(stream, end.epoch)
        lag = line.tally.live_lag[stream]
        waits_s = lag.behind_s(end._replace(seq=there.top), line.now_s())
        fresh = waits_s <= line.settings.backfill.after
        at = live_from(Split(after, end, there, self._old[stream], fresh))
        if at is not None:
            route.split(at)
        return route

    def _tend(self) -> None:
        """Open a live lane where what is fresh has begun to wait."""
        now_s = self._line.now_s()
        after_s = self._line.settings.backfill.after
        for stream, route in self._routes.items():
            self._note(stream, now_s)
            reached = route.live_reached(self.window)
            lag = self._line.tally.live_lag[stream]
            if lag.behind_s(reached, now_s) <= after_s:
                continue
            end = self._line.journal.newest(stream)
            there = self.window.there(stream, end.epoch)
            at = live_from(Split(reached, end, there, old=True, fresh=False))
            if at is not None and at > route.live_from:
                route.split(at)
                lag.forget()
        self._sender.wake()

    def _is_outdated(self) -> bool:
        """Whether the destination is to hear of a new epoch, and nothing is half set aside."""
        cares = self._terms.newest_epoch is not None
        return cares and self._line.journal.epoch != self._epoch and not self._setting_aside

    def _note(self, stream: Stream, now_s: float) -> None:
        """Tell cursor and tally how far a stream is."""
        route, tally = self._routes[stream], self._line.tally
        reached = route.reached(self.window)
        if reached != tally.acked[stream] and not self._setting_aside:
            tally.acked[stream] = reached
            self._line.cursor.advance(reached)
            tally.changed.set()
        tally.live[stream] = route.live_reached(self.window)
        tally.live_from[stream] = route.live_from if route.is_split else None
        tally.note(stream, self._line.journal.newest(stream), now_s)

    async def _receive(self) -> NoReturn:
        async for receipt in self._line.uplink.receipts():
            await self._apply(receipt)
        raise UplinkUnavailable(
            "the destination ended the session", hint="look at the destination's log for its reason"
        )

    async def _apply(self, receipt: Receipt) -> None:
        now_s = self._line.now_s()
        freed = self.window.receive(receipt, now_s)
        self._sender.answer(receipt)
        self._line.tally.unheard_messages += receipt.unheard_messages
        forked = False
        if freed.refused:
            # What is refused is no longer in flight, but must be set aside before the cursor passes
            # it. If that fails, the session ends with the cursor before it.
            self._setting_aside = True
            forked = await self._refused(receipt, freed.refused)
            self._setting_aside = False
        if freed.records:
            tally, stream = self._line.tally, receipt.resume.stream
            self.progressed = True
            tally.records_acked += freed.records
            tally.last_ack_at_s = now_s
            if freed.last is not None:
                self._sender.pace.acked(freed.last, self.window.acked_bytes, now_s)
            self._note(stream, now_s)
            self._keep(receipt)
            self._testify(receipt)
        self._sender.wake()
        if forked:
            raise UplinkUnavailable(
                "the destination has other records than we under some of our numbers",
                hint="nothing to do: they are sent again under new numbers",
                wait_s=0.0,
            )

    async def _refused(
        self, receipt: Receipt, refused: Sequence[tuple[Position, str, int]]
    ) -> bool:
        """Set aside what was refused for good; give whether the session must compare anew."""
        await self._line.aside.refused(refused)
        position, code, _ = refused[0]
        self._line.seams.events.emit(
            UPLINK_REJECTED,
            uplink=self._line.name,
            records=len(refused),
            first=f"{position.stream}/{position.epoch:x}/{position.seq}",
            code=code,
        )
        key = receipt.resume.stream, receipt.resume.epoch
        fresh = any(code == FORKED for _, code, _ in refused) and key not in self._doubts
        if fresh:
            self._line.forked.add(key)
        return fresh

    def _keep(self, receipt: Receipt) -> None:
        """Keep the islands beyond the cursor for a destination that keeps no account, nor chain."""
        if not receipt.resume.chain:
            stream = receipt.resume.stream
            after = self._line.cursor.get(stream)
            self._line.cursor.keep(stream, _islands(self.window.runs(), after))

    def _testify(self, receipt: Receipt) -> None:
        """Keep the destination's chain, but not where it is still in question what it means."""
        told = receipt.resume
        key = told.stream, told.epoch
        doubt = self._doubts.get(key)
        if doubt is not None:
            if self._line.tally.acked[told.stream] < Position(*key, doubt.last):
                return
            del self._doubts[key]
            self._line.forked.discard(key)
        if self._line.tally.acked[told.stream] < Position(*key, told.committed_seq):
            return
        testify((told,), self._terms.incarnation, self._line.cursor)

    async def _watch(self, deadline_s: float) -> NoReturn:
        """Wait on acks: a transport that answers pings proves nothing of the consumer behind it.

        And for a new epoch: only the next session tells the destination how long this one was.
        """
        line = self._line
        while True:
            if self._is_outdated():
                raise EPOCH_BEGUN
            left = self._left_s(deadline_s)
            if left <= SOON_S:
                raise self._silent(deadline_s)
            await line.seams.clock.sleep(min(left, TICK_S))
            await line.purse.save(soon=True)
            self._tend()

    def _may_be_carrying(self) -> bool:
        """Whether what is in flight may not have reached the destination, the line being slow."""
        since_s = self.window.waiting_since_s
        if since_s is None:
            return False
        waited_s = self._line.now_s() - since_s
        return SILENT_S <= waited_s < self._sender.pace.takes_s(self.window.unacked_bytes)

    def _left_s(self, deadline_s: float) -> float:
        """Give how much longer to wait for a sign that the destination takes what it gets.

        What is on its way has the time that it takes on the slowest line; less only where this
        session has shown that the line is faster and no verdict hangs on it.
        """
        now_s, sender = self._line.now_s(), self._sender
        if not sender.starved:
            self._starved_since_s = None
        elif self._starved_since_s is None:
            self._starved_since_s = now_s
        waiting = (self.window.waiting_since_s, sender.asked_s, self._starved_since_s)
        since_s = min((s for s in waiting if s is not None), default=now_s)
        proven = not self._line.suspicion.is_asking
        size = self.window.unacked_bytes + sender.asked_bytes
        return since_s + deadline_s + sender.pace.takes_s(size, proven=proven) - now_s

    def _silent(self, deadline_s: float) -> UplinkUnavailable:
        if self._starved_since_s is not None:
            return UplinkUnavailable(
                f"no credit for {deadline_s:g} s: the destination lets nothing be sent",
                hint="the destination is connected but takes nothing: see its log and disk",
            )
        return UplinkUnavailable(
            f"no ack for {deadline_s:g} s of {self.window.unacked_records} records sent",
            hint="the destination is connected but stores nothing: see its log and disk",
        )


def _islands(
    there: Mapping[tuple[Stream, int], Coverage], after: Position
) -> list[tuple[Position, Position]]:
    """Give what is `there` of a stream behind `after`: first and last positions of each run."""
    stream = after.stream
    return [
        (Position(stream, epoch, first), Position(stream, epoch, last))
        for (of, epoch), runs in sorted(there.items(), key=lambda item: item[0][1])
        if of is stream and epoch >= after.epoch
        for first, last in runs
        if Position(stream, epoch, last) > after
    ]
