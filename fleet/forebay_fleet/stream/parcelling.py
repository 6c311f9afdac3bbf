"""Parcels go out by part: all that waits for a part in one message, and one message at a time.

So the order of a gateway's parcels is that of the stream, whatever is lost and sent again, and what
a message costs (flushes on three nodes, acks) is shared by many boxes. Must not know what is in a
parcel.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import nats.errors
import nats.js.errors
import structlog

from forebay_fleet._proto import ingest_pb2
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.stream.naming import PARTS, part_of, subject

if TYPE_CHECKING:
    from typing import Self

    from nats.js.client import JetStreamContext

MESSAGE_BYTES = 1 << 20
"""What is put together in one message; a parcel that is larger goes alone."""
TRY_S = 5.0
"""How long one try may take."""
KEEP_TRYING_S = 20.0
"""An election of the stream's leader takes some seconds: as long boxes wait for their acks."""
PAUSE_S = 0.2
GATHER_S = 0.2
"""The least time from one message of a part to the next, for what gathers meanwhile: a message
costs three servers of NATS ten times what a batch costs a server that takes it."""
FULL = frozenset({10023, 10047, 10077})
"""Codes of JetStream: no room, by limits of the server, of the account, or of the stream."""

_log = structlog.get_logger()


class _Waiting(NamedTuple):
    parcel: ingest_pb2.Parcel
    size: int
    done: asyncio.Future[None]


class Parcelling:
    """Of one process. `async with` runs a task for each part; who puts bounds what waits."""

    def __init__(self, stream: JetStreamContext, most: int) -> None:
        """Publish to `stream`; let `most` parcels of a part wait."""
        self._stream, self._most = stream, most
        self._waiting: list[deque[_Waiting]] = [deque(maxlen=most) for _ in range(PARTS)]
        self._more = [asyncio.Event() for _ in range(PARTS)]
        self._name, self._messages = secrets.token_hex(8), 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._run(part), name=f"stream.part-{part}")
            for part in range(PARTS)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End; who still waits is told so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for waiting in self._waiting:
            _fail(waiting, SessionEnded("UNAVAILABLE", "the server is stopping"))

    def put(self, parcel: ingest_pb2.Parcel) -> asyncio.Future[None]:
        """Have a parcel published behind those before it of its part.

        The future ends when the stream has it, or raises SessionEnded; who cancels it takes back
        what is not under way.
        """
        part = part_of(parcel.gateway)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting[part]) >= self._most:
            done.set_exception(SessionEnded("RESOURCE_EXHAUSTED", "too much waits"))
            return done
        self._waiting[part].append(_Waiting(parcel, parcel.ByteSize() + 8, done))
        self._more[part].set()
        return done

    async def _run(self, part: int) -> None:
        waiting, more = self._waiting[part], self._more[part]
        clock = asyncio.get_running_loop().time
        last_s = -GATHER_S
        while True:
            if not waiting:
                more.clear()
                await more.wait()
            await asyncio.sleep(last_s + GATHER_S - clock())
            group = _gathered(waiting)
            if not group:
                continue
            last_s = clock()
            message = ingest_pb2.Parcels(parcels=[one.parcel for one in group])
            try:
                await self._publish(subject(part), message.SerializeToString())
            except SessionEnded as ended:
                _fail(group, ended)
            except asyncio.CancelledError:
                _fail(group, SessionEnded("UNAVAILABLE", "the server is stopping"))
                raise
            for one in group:
                if not one.done.done():
                    one.done.set_result(None)

    async def _publish(self, to: str, payload: bytes) -> None:
        """Publish, again and again under one id, so that it is there once. Raises SessionEnded."""
        self._messages += 1
        headers = {"Nats-Msg-Id": f"{self._name}-{self._messages}"}
        loop = asyncio.get_running_loop()
        end_s = loop.time() + KEEP_TRYING_S
        while True:
            try:
                await self._stream.publish(to, payload, timeout=TRY_S, headers=headers)
                return
            except nats.js.errors.APIError as error:
                if error.err_code in FULL:
                    raise _refused("the stream is full", error) from None
                last: Exception = error
            except nats.errors.MaxPayloadError:
                raise SessionEnded("INVALID_ARGUMENT", "no message takes so much") from None
            except (nats.errors.Error, TimeoutError) as error:
                last = error
            if loop.time() >= end_s:
                raise _refused("the stream is away", last) from None
            await asyncio.sleep(PAUSE_S)


def _gathered(waiting: deque[_Waiting]) -> list[_Waiting]:
    """Take what goes into one message: the first that somebody waits for, and more behind it."""
    group: list[_Waiting] = []
    size = 0
    while waiting:
        if waiting[0].done.done():
            waiting.popleft()
            continue
        if group and size + waiting[0].size > MESSAGE_BYTES:
            break
        group.append(waiting.popleft())
        size += group[-1].size
    return group


def _fail(group: deque[_Waiting] | list[_Waiting], ended: SessionEnded) -> None:
    for one in group:
        if not one.done.done():
            one.done.set_exception(ended)


def _refused(what: str, error: Exception) -> SessionEnded:
    """Give what ends a session whose records the stream has not taken: the box keeps them."""
    said = str(error) or type(error).__name__
    _log.warning("stream_refused", reason=what, error=said, hint="see: nats stream report")
    return SessionEnded("UNAVAILABLE", what)
