"""Keeps one uplink fed for as long as the agent runs: connect, resume, run a session, wait, again.

Owns the life of sessions, what is told about outages, and the status. Must not know what an uplink
does inside.

    connecting ──Terms──▶ connected ──any error──▶ waiting ──back-off──▶ connecting
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn, TypeVar

from forebay.errors import ForebayError, JournalError, UplinkMisbehaved, UplinkUnavailable
from forebay.events import UPLINK_CONNECTED, UPLINK_FAILED, UPLINK_LOST
from forebay.forwarding import resume, retry
from forebay.forwarding.session import Session
from forebay.forwarding.status import State, Tally, UplinkStatus, backlog
from forebay.interfaces import Offer
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from forebay.clock import Clock
    from forebay.forwarding.journal_view import JournalView
    from forebay.interfaces import Seams, Terms, Uplink
    from forebay.settings import UplinkSettings

CLOSE_DEADLINE_S = 5.0
"""The longest wait for an uplink to close: the next session must not hang on the last."""

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
        self._state: State = "connecting"
        self._session: Session | None = None
        self._last_error: ForebayError | None = None
        self._outage_told = False

    @property
    def name(self) -> str:
        """The uplink's name, which is its cursor's too."""
        return self._name

    async def run(self) -> NoReturn:
        """Forward until cancelled.

        Raises JournalError when the journal cannot go on; everything else is retried.
        """
        failures = 0
        clock = self._seams.clock
        while True:
            began = clock.monotonic_s()
            progressed, error = await self._one_session()
            failures = retry.failures_after(
                failures,
                progressed=progressed,
                lasted_s=clock.monotonic_s() - began,
                backoff=self._settings.backoff,
            )
            asked = error.wait_s if isinstance(error, UplinkUnavailable) else None
            draw = self._seams.rng.random()
            await clock.sleep(retry.wait_s(failures, self._settings.backoff, draw, asked))

    def status(self) -> UplinkStatus:
        """Give how things stand; cheap enough for once a second."""
        clock, tally = self._seams.clock, self._tally
        window = self._session.window if self._session else None
        pending = backlog(self._journal.segments(), tally.acked)
        age_ns = 0 if pending.oldest_ns is None else clock.now_ns() - pending.oldest_ns
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
            oldest_pending_s=max(age_ns, 0) / 1e9,
            last_ack_s=-1.0 if last_ack is None else clock.monotonic_s() - last_ack,
            sessions=tally.sessions,
            last_error=str(self._last_error) if self._last_error else "",
            last_hint=self._last_error.hint if self._last_error else "",
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
            await _within(self._seams.clock, timeout_s, self._reach(goal))
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
        self._last_error = failed
        if not self._outage_told:
            self._outage_told = True
            unacked = session.window.unacked_records if session else 0
            self._seams.events.emit(
                UPLINK_LOST, uplink=self._name, error=str(failed), hint=failed.hint, unacked=unacked
            )
        return session is not None and session.progressed, failed

    async def _connect_and_forward(self) -> NoReturn:
        heads = tuple(self._journal.heads())
        self._tally.sessions += 1
        offer = Offer(
            self._gateway,
            self._seams.clock.boot_id,
            self._tally.sessions,
            heads,
            schema=self._journal.schema,
        )
        deadline_s = self._settings.ack_deadline
        try:
            terms = await _within(self._seams.clock, deadline_s, self._uplink.connect(offer))
        except TimeoutError:
            raise UplinkUnavailable(
                f"no session within {deadline_s:g} s",
                hint="check the address, and whether a firewall drops the connection",
            ) from None
        start = resume.plan(heads, terms.resume)
        await resume.verify(terms, self._journal, self._cursor)
        self._session = self._begin(terms, start)
        try:
            await self._session.run(deadline_s)
        except BaseExceptionGroup as group:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Before Python 3.13 a task group forgets a cancellation that meets an error of its
                # tasks.
                raise asyncio.CancelledError from group
            raise most_telling(group) from group

    def _begin(self, terms: Terms, start: resume.Start) -> Session:
        for stream, position in start.after.items():
            self._tally.acked[stream] = position
            self._cursor.advance(position)
        resume.testify(terms.resume, terms.incarnation, self._cursor)
        self._tally.changed.set()
        self._state, self._last_error, self._outage_told = "connected", None, False
        self._seams.events.emit(
            UPLINK_CONNECTED,
            uplink=self._name,
            session=self._tally.sessions,
            incarnation=terms.incarnation,
            credit_bytes=terms.credit_bytes,
        )
        return Session(
            self._name,
            self._uplink,
            self._journal,
            self._cursor,
            terms,
            start,
            self._tally,
            self._seams,
        )

    async def _close(self) -> None:
        try:
            await _within(self._seams.clock, CLOSE_DEADLINE_S, self._uplink.close())
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


async def _within(clock: Clock, seconds: float, coroutine: Coroutine[None, None, T]) -> T:
    """Await `coroutine` under a deadline on the clock seam; TimeoutError once it has ended."""
    work = asyncio.create_task(coroutine, name="within.work")
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
