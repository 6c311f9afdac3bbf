"""The writer thread: takes all that waits from all sessions, commits it as one, answers each.

Owns the thread and the group commit. Must not know what becomes of a record (`ingest`) or who sent
it (`session`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from forebay_fleet.errors import StoreFailed
from forebay_fleet.ingest import SessionEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.store.writer import StoreWriter

T = TypeVar("T")

MIN_JOB_BYTES = 256
"""What a job counts for at least: message, future, closure."""


class Budget:
    """Bytes that may be in use at once, given in the order asked for.

    One that asks for more than all of it gets it alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Start with nothing in use."""
        self._limit = limit_bytes
        self._used = 0
        self._turn = asyncio.Lock()
        self._given = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until `size` bytes fit, and take them."""
        async with self._turn:
            while self._used and self._used + size > self._limit:
                self._given.clear()
                await self._given.wait()
            self._used += size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._used -= size
        self._given.set()


@dataclass(slots=True)
class _Job(Generic[T]):
    """`apply` runs in the transaction; what it gives, `tell`, runs after the commit."""

    apply: Callable[[], Callable[[], T]]
    size: int
    future: asyncio.Future[T]
    tell: Callable[[], T] | None = None
    result: T | None = None
    ended: SessionEnded | None = None


class Committer:
    """`async with` runs the thread.

    `failed` is set when the disk refused a commit: nothing more is taken then.
    """

    def __init__(self, store: StoreWriter, commit_bytes: int, memory_bytes: int) -> None:
        """Commit at most about `commit_bytes` at once; let `memory_bytes` wait."""
        self._store = store
        self._commit_bytes = commit_bytes
        self._memory = Budget(memory_bytes)
        # Never full: each job takes so much of the memory at least, and two are for the end.
        self._jobs: queue.Queue[_Job[Any] | None] = queue.Queue(memory_bytes // MIN_JOB_BYTES + 2)
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._failure: StoreFailed | None = None
        self.failed = asyncio.Event()

    @property
    def failure(self) -> StoreFailed | None:
        """Why nothing more is taken, once `failed` is set."""
        return self._failure

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what waits, then end the thread."""
        self._jobs.put_nowait(None)
        await asyncio.to_thread(self._thread.join)

    async def submit(self, apply: Callable[[], Callable[[], T]], size: int) -> asyncio.Future[T]:
        """Have `apply` run in the next transaction, after waiting for room for its `size` bytes.

        The future has the result of what `apply` gives, taken once the transaction is durable. The
        future raises SessionEnded if `apply` does (after the commit of what it did before),
        StoreFailed if the disk fails.
        """
        size = max(size, MIN_JOB_BYTES)
        await self._memory.take(size)
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put_nowait(_Job(apply, size, future))
        return future

    def _run(self) -> None:
        last = False
        while not last and (job := self._jobs.get()) is not None:
            jobs, last = self._gather(job)
            self._settle(jobs)

    def _settle(self, jobs: list[_Job[Any]]) -> None:
        """Commit and answer. Even if this thread crashes here, nobody waits for ever."""
        failure: StoreFailed | None = StoreFailed("the writer crashed", hint="see its traceback")
        try:
            if self._failure is None:
                self._commit(jobs)
                failure = None
        except StoreFailed as error:
            failure = error
        finally:
            if failure is not None:
                self._failure = self._failure or failure
                self._loop.call_soon_threadsafe(self.failed.set)
            self._loop.call_soon_threadsafe(self._deliver, jobs)

    def _gather(self, first: _Job[Any]) -> tuple[list[_Job[Any]], bool]:
        """Take what waits, up to the size of one commit; True if the end was among it."""
        jobs, size = [first], first.size
        while size < self._commit_bytes:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            size += job.size
        return jobs, False

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        with self._store.transaction():
            for job in jobs:
                try:
                    job.tell = job.apply()
                except SessionEnded as ended:
                    job.ended = ended
        # Here and not on the event loop: by then the next transaction may have begun to change what
        # is told.
        for job in jobs:
            if job.tell is not None:
                job.result = job.tell()

    def _deliver(self, jobs: list[_Job[Any]]) -> None:
        """Answer on the event loop."""
        for job in jobs:
            self._memory.give(job.size)
            if job.future.done():  # its session was cancelled
                continue
            if self._failure is not None:
                job.future.set_exception(self._failure)
            elif job.ended is not None:
                job.future.set_exception(job.ended)
            else:
                job.future.set_result(job.result)
