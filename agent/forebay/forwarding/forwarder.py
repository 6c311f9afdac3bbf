"""Keeps one uplink fed for as long as the agent runs: connect, resume, run a session, wait, again.

Owns the life of sessions, what is told about outages, and the status. Must not know what an uplink
does inside.

    connecting ──Terms──▶ connected ──any error──▶ waiting ──back-off──▶ connecting
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from forebay.cancellation import strict
from forebay.errors import ForebayError, JournalError, UplinkMisbehaved, UplinkUnavailable
from forebay.events import UPLINK_CONNECTED, UPLINK_FAILED, UPLINK_LOST
from forebay.forwarding import resume, retry
from forebay.forwarding.aside import Aside
from forebay.forwarding.budget import Budget
from forebay.forwarding.line import Line
from forebay.forwarding.purse import Purse
from forebay.forwarding.session import EPOCH_BEGUN, SOON_S, TICK_S, Session
from forebay.forwarding.status import State, Tally, UplinkStatus, backlog
from forebay.forwarding.suspicion import Suspicion
from forebay.interfaces import Offer
from forebay.model import RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from forebay.clock import Clock
    from forebay.forwarding.coverage import Coverage
    from forebay.forwarding.journal_view import JournalView, SegmentView
    from forebay.interfaces import Seams, Terms, Uplink
    from forebay.model import Position, Record
    from forebay.settings import UplinkSettings

CLOSE_DEADLINE_S = 5.0
"""The longest wait for an uplink to close: the next session must not hang on the last."""
_STORE_CHANGED = UplinkUnavailable(
    "the destination's store is another one than last time",
    hint="nothing to do: it is asked anew what it has",
    wait_s=0.0,
)

P = ParamSpec("P")
T = TypeVar("T")


class Forwarder:
    """Journal to one destination.

    `run` in a task; `status` and `drain` from anywhere on the same event loop.
    """

    def __init__(
        self,
        name: str,
        uplink: Uplink,
        settings: UplinkSettings,
        journal: JournalView,
        gateway: str,
        seams: Seams,
    ) -> None:
        """Own `uplink` from now on. `gateway` is the id that the destination knows this box by."""
        self._name, self._uplink, self._settings = name, uplink, settings
        self._journal, self._gateway, self._seams = journal, gateway, seams
        self._cursor = journal.cursor(name)
        self._tally = Tally({stream: self._cursor.get(stream) for stream in Stream})
        budget = Budget(settings)
        self._line = Line(
            name=name,
            uplink=uplink,
            settings=settings,
            journal=journal,
            cursor=self._cursor,
            tally=self._tally,
            budget=budget,
            aside=Aside(name, journal, self._cursor, seams),
            suspicion=Suspicion(),
            purse=Purse(journal.directory / "budgets" / f"{name}.json", budget, seams),
            seams=seams,
        )
        self._offer_everything = False
        self._state: State = "connecting"
        self._session: Session | None = None
        self._last_error: ForebayError | None = None
        self._outage_told = False

    @property
    def name(self) -> str:
        """The uplink's name, which is its cursor's too."""
        return self._name

    @property
    def connected(self) -> bool:
        """Whether there is a session with the destination."""
        return self._state == "connected"

    @property
    def acked(self) -> int:
        """How many records were acknowledged since this was made."""
        return self._tally.records_acked

    async def run(self) -> NoReturn:
        """Forward until cancelled.

        Raises JournalError when the journal cannot go on; everything else is retried.
        """
        failures = 0
        for stream in Stream:  # a journal that was detached had nothing to say until now
            self._tally.acked[stream] = self._cursor.get(stream)
        await self._line.purse.load()
        try:
            while True:
                failures = await self._turn(failures)
        finally:
            await self._line.purse.save()

    async def _turn(self, failures: int) -> int:
        """Run one session and wait; give the failures in a row, of which there were `failures`."""
        clock, backoff = self._seams.clock, self._settings.backoff
        began = clock.monotonic_s()
        progressed, error = await self._one_session()
        lasted_s = clock.monotonic_s() - began
        failures = retry.failures_after(
            failures, progressed=progressed, lasted_s=lasted_s, backoff=backoff
        )
        asked = error.wait_s if isinstance(error, UplinkUnavailable) else None
        draw = self._seams.rng.random()
        await self._line.purse.save()
        await self._wait(retry.wait_s(failures, backoff, draw, asked))
        return failures

    async def _wait(self, seconds: float) -> None:
        """Wait, and see meanwhile how far the log gets ahead."""
        clock = self._seams.clock
        until_s = clock.monotonic_s() + seconds
        self._note_ends()
        while (left := until_s - clock.monotonic_s()) > SOON_S:
            await clock.sleep(min(left, TICK_S))
            self._note_ends()

    def _note_ends(self) -> None:
        now_s = self._seams.clock.monotonic_s()
        for stream in Stream:
            self._tally.note(stream, self._journal.newest(stream), now_s)

    async def retry(self, record: Record) -> bool:
        """Send a quarantined record once more, by itself; give whether the destination took it.

        If so, its samples count as delivered from now on. False also where there is no session now,
        or another retry is under way.
        """
        session = self._session
        if session is None or not await session.retry(record):
            return False
        samples = record.samples if record.kind is RecordKind.BATCH else 0
        self._cursor.accept(record.position, samples)
        return True

    def catch_up(self) -> None:
        """Take over how far the cursor is: what was pending was delivered by another way.

        In a session the destination says so itself.
        """
        if self._session is None:
            for stream, acked in self._tally.acked.items():
                self._tally.acked[stream] = max(acked, self._cursor.get(stream))
            self._tally.changed.set()

    def status(self) -> UplinkStatus:
        """Give how things stand; cheap enough for once a second."""
        clock, tally = self._seams.clock, self._tally
        window = self._session.window if self._session else None
        segments = self._journal.segments()
        islands = window.runs() if window else tally.islands
        pending = backlog(segments, tally.acked, islands)
        live = {stream: tally.live_from.get(stream) or tally.acked[stream] for stream in Stream}
        live_records = backlog(segments, live, islands).records
        ages_s = [self._age_s(s, tally.acked, islands, segments) for s in Stream]
        last_ack = tally.last_ack_at_s
        return UplinkStatus(
            name=self._name,
            kind=self._settings.kind,
            state=self._state,
            records_sent=tally.records_sent,
            records_acked=tally.records_acked,
            bytes_sent=tally.bytes_sent,
            pending_records=pending.records,
            pending_bytes=pending.size_bytes,
            unacked_bytes=window.unacked_bytes if window else 0,
            credit_bytes=window.credit_bytes if window else 0,
            oldest_pending_s=max(ages_s) if pending.records else 0.0,
            last_ack_s=-1.0 if last_ack is None else clock.monotonic_s() - last_ack,
            sessions=tally.sessions,
            last_error=str(self._last_error) if self._last_error else "",
            last_hint=self._last_error.hint if self._last_error else "",
            live_records=live_records,
            backfill_records=pending.records - live_records,
            held=self._session.held() if self._session else self._line.suspicion.held,
            stuck=self._session.stuck() if self._session else self._line.suspicion.held,
            sent_today_bytes=self._line.budget.today_bytes(clock.now_ns()),
            quarantined_records=len(self._journal.quarantine.copies(self._name)),
            unheard_messages=tally.unheard_messages,
        )

    async def drain(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until all that is durable now is acknowledged; give whether it is.

        `run` must be running.
        """
        goal: dict[Stream, tuple[int, int]] = {}
        for head in self._journal.heads():
            if head.next_seq > head.first_seq:
                last = (head.epoch, head.next_seq - 1)
                goal[head.stream] = max(goal.get(head.stream, (0, 0)), last)
        try:
            await _within(self._seams.clock, timeout_s, self._reach, goal)
        except TimeoutError:
            return False
        return True

    async def _reach(self, goal: dict[Stream, tuple[int, int]]) -> None:
        while any(self._tally.acked[stream][1:] < last for stream, last in goal.items()):
            self._tally.changed.clear()
            await self._tally.changed.wait()

    async def _one_session(self) -> tuple[bool, ForebayError]:
        """Connect and forward until something fails; give whether data moved, and what failed."""
        self._state = "connecting"
        try:
            await self._connect_and_forward()
        except JournalError:
            raise
        except ForebayError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - the supervisor of one adapter: its defects must not stop the others
            if not self._outage_told:
                self._seams.events.emit(UPLINK_FAILED, uplink=self._name, exc_info=error)
            failed = UplinkMisbehaved(
                f"the uplink failed: {type(error).__name__}: {error}",
                hint="this is a defect of the uplink adapter: report it with the agent's log",
            )
        finally:
            session, self._session = self._session, None
            self._state = "waiting"
            await self._close()
        if session is not None:
            self._tally.islands = session.window.runs()
            oldest = session.window.oldest()
            self._line.suspicion.broke(oldest, on_its_way=session.cut_short)
        self._last_error = failed
        if not self._outage_told:
            self._outage_told = True
            unacked = session.window.unacked_records if session else 0
            self._seams.events.emit(
                UPLINK_LOST, uplink=self._name, error=str(failed), hint=failed.hint, unacked=unacked
            )
        return session is not None and session.progressed, failed

    async def _connect_and_forward(self) -> NoReturn:
        epoch = self._journal.epoch  # first: so the heads tell all of what is older
        heads = tuple(self._journal.heads())
        offered = resume.offered(heads, self._cursor, everything=self._offer_everything)
        self._tally.sessions += 1
        offer = Offer(
            self._gateway,
            self._seams.clock.boot_id,
            self._tally.sessions,
            offered,
            resume.delivered(self._cursor),
            epoch,
            schema=self._journal.schema,
        )
        deadline_s = self._settings.ack_deadline
        try:
            terms = await _within(self._seams.clock, deadline_s, self._uplink.connect, offer)
        except TimeoutError:
            raise UplinkUnavailable(
                f"no session within {deadline_s:g} s",
                hint="check the address, and whether a firewall drops the connection",
            ) from None
        if not resume.is_known(terms.incarnation, self._cursor) and offered != resume.offered(
            heads, self._cursor, everything=True
        ):
            self._offer_everything = True
            raise _STORE_CHANGED
        self._offer_everything = False
        if resume.outrun(terms.newest_epoch, epoch):
            await self._journal.new_epoch(
                "a destination knows a younger one of this gateway", above=terms.newest_epoch or 0
            )
            raise EPOCH_BEGUN
        self._session = await self._begin(terms, offer)
        try:
            await self._session.run(deadline_s)
        except BaseExceptionGroup as group:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Before Python 3.13 a task group forgets a cancellation that meets an error of its
                # tasks.
                raise asyncio.CancelledError from group
            raise most_telling(group) from group

    async def _begin(self, terms: Terms, offer: Offer) -> Session:
        """Agree with the destination on what both have; see ADR 004 for what may differ."""
        heads, aside, current = offer.heads, self._line.aside, offer.epoch
        doubts = await resume.doubtful(terms, heads, self._journal, self._cursor, self._line.forked)
        if resume.ahead(heads, terms.resume, current) or any(key[1] == current for key in doubts):
            reason = "a destination has other records than we under our numbers"
            await aside.close_epoch(current, reason)
            if terms.newest_epoch is not None:
                raise EPOCH_BEGUN
            current = 0
        known = resume.is_known(terms.incarnation, self._cursor)
        owed = resume.owed(terms.resume, self._journal, self._cursor, everything=not known)
        start = resume.plan(heads, terms.resume, aside.positions(), doubts, owed)
        sure = [
            told
            for told in terms.resume
            if (told.stream, told.epoch) not in doubts
            and (known or start.after[told.stream] >= self._cursor.get(told.stream))
        ]
        for stream, position in start.after.items():
            self._tally.acked[stream] = position
            if position.seq:
                self._cursor.advance(position)
        resume.testify(sure, terms.incarnation, self._cursor)
        await aside.tell_lost(resume.lost_tails(heads, terms.resume, current))
        self._tally.changed.set()
        self._state, self._last_error, self._outage_told = "connected", None, False
        self._seams.events.emit(
            UPLINK_CONNECTED,
            uplink=self._name,
            session=self._tally.sessions,
            incarnation=terms.incarnation,
            credit_bytes=terms.credit_bytes,
        )
        return Session(self._line, terms, start, self._old(start), offer.epoch)

    def _old(self, start: resume.Start) -> dict[Stream, bool]:
        """Say of which streams the backlog is worth a lane of its own."""
        after_s, segments = self._settings.backfill.after, self._journal.segments()
        return {
            stream: self._age_s(stream, start.after, start.there, segments) > after_s
            for stream in start.after
        }

    def _age_s(
        self,
        stream: Stream,
        after: Mapping[Stream, Position],
        there: Mapping[tuple[Stream, int], Coverage],
        segments: Sequence[SegmentView],
    ) -> float:
        """Give how old the oldest record of `stream` is that lies behind `after`, not `there`.

        In this run the monotonic clock tells. What an earlier run has left is as old as its times
        say; where they lie in the future they say nothing, and it counts as old.
        """
        clock, newest = self._seams.clock, self._journal.newest(stream)
        earlier = [s for s in segments if s.stream is stream and s.epoch < newest.epoch]
        oldest_ns = backlog(earlier, after, there).oldest_ns
        age_s = 0.0 if oldest_ns is None else abs(clock.now_ns() - oldest_ns) / 1e9
        return max(age_s, self._tally.lag[stream].behind_s(after[stream], clock.monotonic_s()))

    async def _close(self) -> None:
        try:
            await _within(self._seams.clock, CLOSE_DEADLINE_S, self._uplink.close)
        except Exception as error:  # noqa: BLE001 - as in _one_session; a late close is given up
            self._seams.events.emit(UPLINK_FAILED, uplink=self._name, exc_info=error)


def most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the one exception to act on.

    Sender and receiver often fail together: a failed journal comes first, then a defect, then a
    broken protocol, then an outage that names a time to wait, then any outage.
    """
    leaves: list[BaseException] = []
    todo: list[BaseException] = [group]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseExceptionGroup):
            todo.extend(reversed(item.exceptions))
        else:
            leaves.append(item)
    return min(leaves, key=_rank)


def _rank(error: BaseException) -> int:
    if isinstance(error, JournalError):
        return 0
    if not isinstance(error, ForebayError):
        return 1
    if isinstance(error, UplinkUnavailable):
        return 4 if error.wait_s is None else 3
    return 2


async def _within(
    clock: Clock, seconds: float, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Await `call` under a deadline on the clock seam; TimeoutError once it has ended."""
    work = asyncio.create_task(strict(call, *args, **kwargs), name="within.work")
    alarm = asyncio.create_task(clock.sleep(seconds), name="within.alarm")
    try:
        await asyncio.wait((work, alarm), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        work.cancel()
        await asyncio.gather(work, alarm, return_exceptions=True)
