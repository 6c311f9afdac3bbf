"""From the writer thread to the event loop: futures to end, consumers to wake, events to tell.

Owns who waits for what. All but `Told`'s three methods belong to the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.events import JOURNAL_FAILED
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.errors import JournalError, JournalFailed, JournalFull
    from forebay.events import Event, Events
    from forebay.journal.catalog import Catalog
    from forebay.journal.writer import Job

Waiter = asyncio.Future[None]


class Waiting:
    """Implements `writer.Told`; a job's ticket is its caller's future."""

    def __init__(self, catalog: Catalog, events: Events) -> None:
        """Look into `catalog` for what is durable; tell `events`."""
        self._catalog, self._events = catalog, events
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beyond: dict[Stream, dict[Waiter, Position]] = {stream: {} for stream in Stream}
        self.failure: JournalFailed | None = None
        """The first disk error, once the loop has heard of it."""
        self.trouble = ""
        """Why the writer waits, for a person; empty while it does not."""
        self._trouble = asyncio.Event()
        self.open = asyncio.Event()
        """Set once the directory is open, and never cleared."""

    def attach(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()

    async def beyond(self, position: Position) -> None:
        """Return once a durable record after `position` exists; JournalFailed if none can come."""
        if self._catalog.newest(position.stream) > position:
            return
        if self.failure is not None:
            raise self.failure
        future: Waiter = asyncio.get_running_loop().create_future()
        self._beyond[position.stream][future] = position
        try:
            await future
        finally:
            self._beyond[position.stream].pop(future, None)

    async def done_or_stuck(self, ticket: Waiter) -> None:
        """Return once the job behind `ticket` is durable, or once the writer waits for room.

        JournalFailed after a disk error.
        """
        stuck = asyncio.create_task(self._trouble.wait(), name="journal.stuck")
        try:
            await asyncio.wait((ticket, stuck), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stuck.cancel()
        if ticket.done():
            ticket.result()

    def durable(self, jobs: Sequence[Job]) -> None:
        """See `writer.Told.durable`."""
        self._of_loop.call_soon_threadsafe(self._on_durable, jobs)

    def failed(self, jobs: Sequence[Job], failure: JournalFailed) -> None:
        """See `writer.Told.failed`."""
        self._of_loop.call_soon_threadsafe(self._on_failed, jobs, failure)

    def refused(self, jobs: Sequence[Job], why: JournalFull) -> None:
        """See `writer.Told.refused`."""
        self._of_loop.call_soon_threadsafe(self._on_refused, jobs, why)

    def waits(self, trouble: str) -> None:
        """See `writer.Told.waits`."""
        self._of_loop.call_soon_threadsafe(self._on_waits, trouble)

    def happened(self, event: Event, fields: Mapping[str, object]) -> None:
        """See `writer.Told.happened`."""
        self._of_loop.call_soon_threadsafe(self._on_happened, event, fields)

    @property
    def _of_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def _on_durable(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            _end(job.ticket)
        for stream, waiters in self._beyond.items():
            if waiters:
                newest = self._catalog.newest(stream)
                for future, position in waiters.items():
                    if newest > position:
                        _end(future)

    def _on_failed(self, jobs: Sequence[Job], failure: JournalFailed) -> None:
        if self.failure is None:
            self.failure = failure
            self._events.emit(JOURNAL_FAILED, error=str(failure), hint=failure.hint)
        for future in (job.ticket for job in jobs):
            _end(future, failure)
        for waiters in self._beyond.values():
            for future in waiters:
                _end(future, failure)

    def _on_refused(self, jobs: Sequence[Job], why: JournalFull) -> None:
        for job in jobs:
            _end(job.ticket, why)

    def _on_waits(self, trouble: str) -> None:
        self.trouble = trouble
        if trouble:
            self._trouble.set()
        else:
            self._trouble.clear()

    def _on_happened(self, event: Event, fields: Mapping[str, object]) -> None:
        self._events.emit(event, **fields)


def _end(future: Waiter, failure: JournalError | None = None) -> None:
    """End a future that its owner may have cancelled meanwhile."""
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
        future.exception()  # the owner may be gone: then that is no unhandled error
