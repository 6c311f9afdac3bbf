"""One gateway's session: Hello and Welcome, then records in and acks out, each at its own pace.

Owns the order of messages, the session's share of memory and how a session ends. Must not know how
records are stored (`ingest`) or how a server is set up (`server`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import structlog

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.committer import Budget
from forebay_fleet.errors import StoreFailed
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.ledger import MAX_REPORTED_ISLANDS
from forebay_fleet.limits import GATEWAY_PATTERN, RECORD_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from forebay_fleet.intake import Intake, Taker
    from forebay_fleet.limits import Limits


class Channel(Protocol):
    """The part of a gRPC servicer context that a session uses."""

    async def read(self) -> Any:  # noqa: ANN401 - a message or grpc.aio.EOF
        """Give the next message, `grpc.aio.EOF` after the last."""
        ...

    async def write(self, message: uplink_pb2.FromServer) -> None:
        """Send a message; waits while the peer does not read."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What all sessions share. `stopping` is set when the server wants them to end.

    `newest` has of each gateway with an open session the one that came last.
    """

    intake: Intake
    limits: Limits
    stopping: asyncio.Event
    newest: dict[int, Session] = field(default_factory=dict)


@dataclass(slots=True)
class _Decision:
    """What became of one message, and what it holds of the session's credit."""

    acks: asyncio.Future[list[uplink_pb2.Ack]]
    size: int
    records: int


class Session:
    """Runs once.

    `certified` is the common name of the client's certificate, None on a plaintext server.
    """

    def __init__(self, desk: Desk, channel: Channel, certified: str | None) -> None:
        """Make a session on an open channel."""
        self._desk = desk
        self._channel = channel
        self._certified = certified
        self._credit = Budget(desk.limits.credit_bytes)
        # Never full: each message takes so much of the credit at least, and one is for the end.
        most = desk.limits.credit_bytes // RECORD_OVERHEAD_BYTES + 2
        self._decisions: asyncio.Queue[_Decision | None] = asyncio.Queue(most)
        self._answered = 0
        self.boot_id = ""
        """Of the gateway, once it has said Hello."""
        self._has_twin = False
        self._log = structlog.get_logger().bind(gateway=certified)

    async def run(self) -> None:
        """Serve until the gateway closes its side and has its last ack.

        Raises:
            SessionEnded: with the status that the gateway is to get.
        """
        try:
            await self._serve()
        except asyncio.CancelledError:
            self._log.info("session_lost")
            raise
        except SessionEnded as end:
            self._log.warning("session_ended", status=end.status, reason=str(end))
            raise
        self._log.info("session_closed")

    async def _serve(self) -> None:
        taker: Taker | None = None
        end: SessionEnded | None = None
        try:
            taker = await self._greet()
            self._desk.newest[taker.gateway] = self
            self._log.info("session_opened")
            async with asyncio.TaskGroup() as group:
                stopper = group.create_task(self._stop(), name="session.stop")
                group.create_task(self._receive(taker), name="session.receive")
                await group.create_task(self._acknowledge(), name="session.acknowledge")
                stopper.cancel()
        except* SessionEnded as ended:
            end = _first(ended)
        except* StoreFailed:
            end = SessionEnded("UNAVAILABLE", "the store failed")
        finally:
            if taker is not None:
                if self._desk.newest.get(taker.gateway) is self:
                    del self._desk.newest[taker.gateway]
                await taker.close()
        if end is not None:
            raise end

    async def _greet(self) -> Taker:
        try:
            async with asyncio.timeout(self._desk.limits.hello_timeout_s):
                message = await self._channel.read()
        except TimeoutError:
            raise SessionEnded("DEADLINE_EXCEEDED", "no Hello came") from None
        if message is grpc.aio.EOF or message.WhichOneof("message") != "hello":
            raise SessionEnded("INVALID_ARGUMENT", "the first message must be Hello")
        hello: uplink_pb2.Hello = message.hello
        if not GATEWAY_PATTERN.fullmatch(hello.gateway):
            raise SessionEnded("INVALID_ARGUMENT", "no valid gateway id")
        self._log = self._log.bind(gateway=hello.gateway, session=hello.session)
        self.boot_id = hello.boot_id
        if self._certified not in (None, hello.gateway):
            text = f"this certificate is for {self._certified!r}, not for {hello.gateway!r}"
            raise SessionEnded("PERMISSION_DENIED", text)

        taker, welcome = await self._desk.intake.greet(hello)
        try:
            await self._channel.write(uplink_pb2.FromServer(welcome=welcome))
        except BaseException:
            await taker.close()
            raise
        return taker

    async def _receive(self, taker: Taker) -> None:
        """Take messages while there is room; the transport holds back who ignores the credit."""
        newest: asyncio.Future[list[uplink_pb2.Ack]] | None = None
        while (message := await self._channel.read()) is not grpc.aio.EOF:
            if message.WhichOneof("message") != "records":
                raise SessionEnded("INVALID_ARGUMENT", "only records may follow Hello")
            records = message.records.records
            size = message.ByteSize() + RECORD_OVERHEAD_BYTES * (len(records) + 1)
            await self._credit.take(size)
            newest = await taker.take(records, size, twin=self._finds_twin(taker.gateway))
            newest.add_done_callback(partial(self._decided, size, len(records)))
        if newest is not None:
            await asyncio.wait([newest])
        self._decisions.put_nowait(None)

    def _finds_twin(self, gateway: int) -> bool:
        """Say, once, that this box goes on sending though another boot has come as this gateway.

        A box that was started again may have a session left that is not known to be dead: that one
        sends nothing any more.
        """
        newest = self._desk.newest.get(gateway)
        if self._has_twin or newest is None or newest.boot_id == self.boot_id:
            return False
        self._has_twin = True
        self._log.warning("two_boxes", boot_id=self.boot_id, other_boot_id=newest.boot_id)
        return True

    def _decided(self, size: int, records: int, acks: asyncio.Future[list[uplink_pb2.Ack]]) -> None:
        """Called in the order of submission."""
        acks.exception()  # marks it as seen: after the end of a session nobody asks
        self._decisions.put_nowait(_Decision(acks, size, records))

    async def _acknowledge(self) -> None:
        """Send what is durable, for each line only the newest word: acks are cumulative."""
        finished = False
        while not finished:
            ready = [await self._decisions.get()]
            while not self._decisions.empty():
                ready.append(self._decisions.get_nowait())
            finished = ready[-1] is None
            decisions = [decision for decision in ready if decision is not None]
            acks = [*_newest(ack for decision in decisions for ack in decision.acks.result())]
            for ack in acks:
                if ack is acks[-1]:  # by then the rejections of all of them are told
                    self._answered += sum(decision.records for decision in decisions)
                ack.answered = self._answered
                await self._channel.write(uplink_pb2.FromServer(ack=ack))
            self._credit.give(sum(decision.size for decision in decisions))

    async def _stop(self) -> None:
        await self._desk.stopping.wait()
        raise SessionEnded("UNAVAILABLE", "the server is stopping")


def _newest(acks: Iterable[uplink_pb2.Ack]) -> Iterator[uplink_pb2.Ack]:
    """Give the newest ack of each line, with all rejections.

    And those before it that tell only some of their islands: the newest may leave out others.
    """
    newest: dict[tuple[int, int], uplink_pb2.Ack] = {}
    for ack in acks:
        key = (ack.committed.stream, ack.committed.epoch)
        older = newest.pop(key, None)
        if older is not None and len(older.committed.islands) == MAX_REPORTED_ISLANDS:
            yield older
        elif older is not None:
            ack.rejected.extend(older.rejected)
        newest[key] = ack
    yield from newest.values()


def _first(group: BaseExceptionGroup[SessionEnded]) -> SessionEnded:
    """Give the first of what ended a session."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError
