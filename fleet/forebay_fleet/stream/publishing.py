"""The intake of a process that keeps nothing: records go into the stream, and then they are acked.

What needs no state is judged here; the rest a worker decides, behind the stream. How far a line is
comes from the Welcome, which a worker answers behind all parcels before it, and from what this
session has published since. Must not know gRPC, nor how parcels are committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from forebay_fleet._proto import ingest_pb2, uplink_pb2
from forebay_fleet.committer import Budget
from forebay_fleet.ingest import SessionEnded, check_heads
from forebay_fleet.limits import RECORD_OVERHEAD_BYTES
from forebay_fleet.stream.judging import acks, covered, for_box, grouped, judged
from forebay_fleet.stream.naming import WORKERS
from forebay_fleet.stream.parcelling import Parcelling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from nats.aio.msg import Msg

    from forebay_fleet.intake import Taker
    from forebay_fleet.limits import Limits
    from forebay_fleet.stream.connecting import Line
    from forebay_fleet.stream.judging import Verdicts

GREET_S = 8.0
"""How long a worker may take to come to a Hello, behind all that was published before: less than a
box waits, so that it hears why."""
AT_ONCE_BYTES = 256 << 10
"""What is judged on the event loop; more goes to a thread."""

_log = structlog.get_logger()


@dataclass(slots=True)
class _Job:
    """A message under way."""

    verdicts: Verdicts
    size: int
    result: asyncio.Future[list[uplink_pb2.Ack]]
    published: list[asyncio.Future[None]] = field(default_factory=list)

    def failure(self) -> SessionEnded | None:
        """Give why the stream has not all of it, None if it has."""
        for published in self.published:
            if published.cancelled():
                return SessionEnded("CANCELLED", "the session has ended")
            error = published.exception()
            if error is not None:
                return error if isinstance(error, SessionEnded) else SessionEnded("UNKNOWN", "")
        return None

    def give_up(self, why: SessionEnded) -> None:
        """Wait for nothing any more."""
        for published in self.published:
            published.cancel()
            if published.done() and not published.cancelled():
                published.exception()  # seen
        if not self.result.done():
            self.result.set_exception(why)


class StreamIntake:
    """See `Intake`. `async with` publishes, and hears what workers say."""

    def __init__(self, line: Line, limits: Limits, now_ns: Callable[[], int]) -> None:
        """Publish by `line`; `now_ns` is the time of receipt."""
        self.limits, self.now_ns = limits, now_ns
        self.memory = Budget(limits.memory_bytes)
        most = limits.memory_bytes // RECORD_OVERHEAD_BYTES + limits.max_calls
        self.parcels = Parcelling(line.stream, most)
        self.takers: set[_StreamTaker] = set()
        self._client = line.client
        self._answers: dict[str, asyncio.Future[ingest_pb2.Greeting]] = {}
        self._inbox = line.client.new_inbox()
        self._asked = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raise nats.errors.Error."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)
        await self._client.subscribe(WORKERS, cb=self._heard)
        await self._stack.enter_async_context(self.parcels)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def greet(self, hello: uplink_pb2.Hello) -> tuple[Taker, uplink_pb2.Welcome]:
        """See `Intake`."""
        check_heads(hello.heads, self.limits.max_heads)
        self._asked += 1
        token = str(self._asked)
        answer = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        parcel = ingest_pb2.Parcel(
            gateway=hello.gateway,
            boot_id=hello.boot_id[:64],
            received_ns=self.now_ns(),
            hello=_plain(hello),
            answer_to=f"{self._inbox}.{token}",
        )
        try:
            async with asyncio.timeout(GREET_S):
                await self.parcels.put(parcel)
                greeting = await answer
        except TimeoutError:
            _log.warning("no_worker_answers", hint="is forebay-fleet worker running, and in time?")
            raise SessionEnded("UNAVAILABLE", "no worker answers") from None
        finally:
            del self._answers[token]
        if greeting.WhichOneof("outcome") != "welcome":
            raise SessionEnded(greeting.refusal.status or "UNAVAILABLE", greeting.refusal.reason)
        welcome = for_box(greeting.welcome)
        welcome.credit_bytes = self.limits.credit_bytes
        welcome.max_record_bytes = self.limits.max_record_bytes
        return _StreamTaker(self, hello, greeting), welcome

    async def _answered(self, message: Msg) -> None:
        answer = self._answers.get(message.subject.rpartition(".")[2])
        if answer is not None and not answer.done():
            try:
                answer.set_result(ingest_pb2.Greeting.FromString(message.data))
            except DecodeError:
                _log.error("no_greeting", hint="do worker and server have one version?")

    async def _heard(self, message: Msg) -> None:
        """End the sessions that another incarnation welcomed: it has not what they were told."""
        try:
            present = ingest_pb2.Present.FromString(message.data)
        except DecodeError:
            return
        for taker in [*self.takers]:
            if present.incarnation and taker.incarnation != present.incarnation:
                taker.end(SessionEnded("UNAVAILABLE", "the store was put back from a backup"))


def _plain(hello: uplink_pb2.Hello) -> uplink_pb2.Hello:
    """Give what a worker asks of a Hello: one that no message takes would hold up its part."""
    plain = uplink_pb2.Hello(
        gateway=hello.gateway, boot_id=hello.boot_id[:64], version=hello.version[:64]
    )
    plain.heads.extend(hello.heads)
    plain.DiscardUnknownFields()
    return plain


class _StreamTaker:
    """See `Taker`."""

    def __init__(
        self, intake: StreamIntake, hello: uplink_pb2.Hello, greeting: ingest_pb2.Greeting
    ) -> None:
        """Go on from what a worker said."""
        self.gateway = greeting.gateway
        self.incarnation = greeting.welcome.incarnation
        self._intake = intake
        self._name, self._boot_id = hello.gateway, hello.boot_id[:64]
        self._lines = {
            (int(line.stream), line.epoch): covered(line) for line in greeting.welcome.committed
        }
        # Never full: each message takes so much of the session's credit at least.
        most = intake.limits.credit_bytes // RECORD_OVERHEAD_BYTES + 2
        self._jobs: deque[_Job] = deque(maxlen=most)
        self._more = asyncio.Event()
        self._failure: SessionEnded | None = None
        self._settling = asyncio.create_task(self._settle(), name="stream.settle")
        intake.takers.add(self)

    def end(self, why: SessionEnded) -> None:
        """Let the session end: at the latest by its next message."""
        self._fail(why)
        for job in self._jobs:
            job.give_up(why)

    def _fail(self, why: SessionEnded | None) -> None:
        self._failure = self._failure or why

    async def take(
        self, records: Sequence[uplink_pb2.Record], size: int, *, twin: bool
    ) -> asyncio.Future[list[uplink_pb2.Ack]]:
        """See `Taker`. A worker finds twins: only it sees all sessions."""
        del twin
        await self._intake.memory.take(size)
        most = self._intake.limits.max_record_bytes
        try:
            if size > AT_ONCE_BYTES:
                verdicts = await asyncio.to_thread(judged, records, self._lines, most)
            else:
                verdicts = judged(records, self._lines, most)
        except BaseException:
            self._intake.memory.give(size)
            raise
        job = _Job(verdicts, size, asyncio.get_running_loop().create_future())
        if self._failure is None:
            for group in grouped(verdicts.publish):
                parcel = ingest_pb2.Parcel(
                    gateway=self._name,
                    boot_id=self._boot_id,
                    received_ns=self._intake.now_ns(),
                    records=uplink_pb2.RecordGroup(records=group),
                )
                job.published.append(self._intake.parcels.put(parcel))
        self._jobs.append(job)
        self._more.set()
        return job.result

    async def close(self) -> None:
        """See `Taker`: what was published is committed all the same."""
        self._intake.takers.discard(self)
        self._settling.cancel()
        await asyncio.wait((self._settling,))
        for job in self._jobs:
            self._intake.memory.give(job.size)
            job.give_up(SessionEnded("CANCELLED", "the session has ended"))
        self._jobs.clear()

    async def _settle(self) -> None:
        """Answer in the order of messages; after one that failed all fail."""
        while True:
            while not self._jobs:
                self._more.clear()
                await self._more.wait()
            job = self._jobs[0]
            if job.published and self._failure is None:
                await asyncio.wait(job.published)
                self._fail(job.failure())
            self._jobs.popleft()
            self._intake.memory.give(job.size)
            self._fail(job.verdicts.ended)
            if self._failure is not None:
                job.give_up(self._failure)
            elif not job.result.done():
                credit_bytes = self._intake.limits.credit_bytes
                job.result.set_result(acks(job.verdicts, self._lines, credit_bytes))
