"""The line to one process of a plugin: a Unix socket, one call, messages in both directions.

Owns the gRPC server of that socket, the proof that who calls is the process that was started, and
which results answer which work. Must not know the process, or what the values mean (`codec`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from forebay._proto import plugin_pb2 as pb
from forebay.cancellation import StrayCancellation, strict
from forebay.errors import PluginError, PluginMisbehaved, PluginUnavailable
from forebay.pluginhost.codec import decode_results, encode_work
from forebay.pluginhost.manifest import PROTOCOL
from forebay.pluginhost.parsing import SMALL_BYTES, unfolds_to
from forebay.pluginhost.seams import Results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.pluginhost.seams import Output, Work

T = TypeVar("T")

MESSAGE_BYTES = 32 << 20
"""Of one message to us; what is longer ends the call."""
WORK_BYTES = 256 << 20
HELLO_S = 10.0
CONNECTIONS, CALLS = 8, 4
"""At once, of a plugin that needs one of each."""
MOST_REFUSED = 16
"""Calls in vain before it is ended for them."""
CLOSE_S = 2.0
_TOKEN_CHARACTERS = 256
_FACTS, _FACT_CHARACTERS, _DETAIL_CHARACTERS = 64, 256, 1024

COLUMNS = 1_000
"""Columns of one message beyond four for each output and window."""
ITEMS = 100_000
"""Columns, failures and texts of one message beyond what was asked for."""

Call = grpc.aio.ServicerContext[pb.FromPlugin, pb.ToPlugin]
Message = pb.FromPlugin | PluginMisbehaved


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plugin says of itself when it is ready; cut to what can be shown."""

    sdk: str
    detail: str
    facts: dict[str, str]


@dataclass(slots=True)
class _Pending:
    """Work that is out. `since_s` is when the plugin could begin with it."""

    id: int
    work: Work
    sent_s: float
    since_s: float
    answer: asyncio.Future[Results]


class Channel:
    """The host's side for one process. Everything runs on one event loop.

    Made before the process, because the process calls; `open`, `handshake`, then `send` and `ping`,
    and `close` at the end, however it went.
    """

    def __init__(
        self, socket: Path, token: str, outputs: Sequence[Output], deadline_s: float, clock: Clock
    ) -> None:
        """Listen at `socket`, which only this user may reach, for who knows `token`."""
        self._socket, self._token, self._outputs = socket, token, outputs
        self._deadline_s, self._clock = deadline_s, clock
        self._server: grpc.aio.Server | None = None
        self._call: Call | None = None
        self._sdk = ""
        loop = asyncio.get_running_loop()
        self._attached: asyncio.Future[None] = loop.create_future()
        self._ready: asyncio.Future[Facts] = loop.create_future()
        self._lost: asyncio.Future[PluginError] = loop.create_future()
        self._pending: deque[_Pending] = deque(maxlen=64)
        self._writing = asyncio.Lock()
        self._works = self._pings = self._calls = 0
        self._pong: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Begin to listen. Raises PluginUnavailable if the socket cannot be made."""
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES),
                ("grpc.max_send_message_length", WORK_BYTES),
                ("grpc.so_reuseport", 0),
                # Each connection is a descriptor of ours, each call a message held.
                ("grpc.max_allowed_incoming_connections", CONNECTIONS),
                ("grpc.max_concurrent_streams", CALLS),
            ],
            maximum_concurrent_rpcs=CALLS,
        )
        server.add_generic_rpc_handlers((self._handler(),))
        try:
            server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise PluginUnavailable(
                f"its socket {self._socket} cannot be made: {error}",
                hint="check that the directory is there, and shorter than 100 characters",
                kind="start",
            ) from None
        self._server = server
        await server.start()

    @property
    def lost(self) -> asyncio.Future[PluginError]:
        """Done when the line has ended, with why."""
        return self._lost

    @property
    def overdue_s(self) -> float:
        """When the oldest work that is out is overdue, on the monotonic clock; inf if none is."""
        return self._pending[0].since_s + self._deadline_s if self._pending else float("inf")

    async def attached(self) -> str:
        """Wait for the plugin's call; give name and version of its SDK.

        The caller sets the deadline. Raises PluginError if the line ends.
        """
        await self._unless_lost(self._attached)
        return self._sdk

    async def handshake(self, setup: pb.Setup) -> Facts:
        """Wait for the plugin's call, send `setup`, and wait until it is ready.

        The caller sets the deadline. Raises PluginError if the line ends.
        """
        await self.attached()
        await self._send(pb.ToPlugin(setup=setup))
        return await self._unless_lost(self._ready)

    async def send(self, work: Work, answer: asyncio.Future[Results]) -> None:
        """Send `work`; `answer` gets its results, or stays as it is if the line ends before.

        Several may be out, and end in order. Raises PluginError if the line has ended.
        """
        self._works += 1
        now_s = self._clock.monotonic_s()
        self._pending.append(_Pending(self._works, work, now_s, now_s, answer))
        await self._send(pb.ToPlugin(work=encode_work(work, self._works)))

    async def ping(self) -> None:
        """Ask for a sign of life; PluginUnavailable if there is none within the deadline."""
        self._pings += 1
        self._pong = asyncio.get_running_loop().create_future()
        await self._send(pb.ToPlugin(ping=pb.Ping(id=self._pings)))
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._unless_lost(self._pong)
        except TimeoutError:
            raise overdue(self._deadline_s, "gave no sign of life") from None

    async def stop(self, reason: str) -> None:
        """Ask the plugin to end; PluginUnavailable if it is gone."""
        await self._send(pb.ToPlugin(stop=pb.Stop(reason=reason)))

    async def close(self) -> None:
        """End the call and the socket."""
        self._lose(_gone("the host closed it"))
        if self._server is not None:
            await self._server.stop(CLOSE_S if self._call is None else 0.0)
        for future in (self._attached, self._ready, self._pong):
            if future is not None:
                future.cancel()

    def _handler(self) -> grpc.GenericRpcHandler:
        """Give what serves `PluginHost.Attach`, parsing only what may be parsed."""
        attach = grpc.stream_stream_rpc_method_handler(
            self._attach,
            request_deserializer=self._parsed,
            response_serializer=pb.ToPlugin.SerializeToString,
        )
        service = pb.DESCRIPTOR.services_by_name["PluginHost"].full_name
        return grpc.method_handlers_generic_handler(service, {"Attach": attach})

    def _parsed(self, data: bytes) -> pb.FromPlugin | PluginMisbehaved:
        """Give a message, or what is wrong with it: gRPC would swallow an exception."""
        windows = sum(len(pending.work.windows) for pending in self._pending)
        most = ITEMS + 4 * windows * (1 + len(self._outputs))
        if len(data) > SMALL_BYTES and unfolds_to(data, most) > most:
            return _misbehaved(f"it sent a message of more than {most} parts")
        try:
            return pb.FromPlugin.FromString(data)
        except DecodeError:
            return _misbehaved("it sent what is no message of plugin.proto")

    async def _attach(self, requests: AsyncIterator[Message], call: Call) -> None:
        with suppress(StrayCancellation):
            await self._serve(call, requests)

    async def _serve(self, call: Call, requests: AsyncIterator[Message]) -> None:
        """Take one call: refuse it, or read from it until it ends."""
        first: Message | None = None
        try:
            async with asyncio.timeout(HELLO_S):
                first = await anext(requests, None)
        except TimeoutError:
            await call.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no PluginHello")
        hello = pb.PluginHello()
        if isinstance(first, pb.FromPlugin):
            hello = first.hello  # empty, if it is another message
        await self._admit(call, hello)
        self._call, self._sdk = call, _shown(hello.sdk, _FACT_CHARACTERS)
        self._attached.set_result(None)
        try:
            async for message in requests:
                self._take(message)
        except PluginError as error:
            self._lose(error)
            await call.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            self._lose(_gone("it ended its call"))

    async def _admit(self, call: Call, hello: pb.PluginHello) -> None:
        """Abort the call unless it comes from the process that was started, and is its first."""
        self._calls += 1
        if self._calls > MOST_REFUSED:
            self._lose(_misbehaved(f"it called {self._calls} times"))
        given = hello.token[:_TOKEN_CHARACTERS].encode()
        if not hmac.compare_digest(given, self._token.encode()):
            await call.abort(grpc.StatusCode.PERMISSION_DENIED, "wrong token")
        if self._attached.done():
            await call.abort(grpc.StatusCode.PERMISSION_DENIED, "attached already")
        if hello.protocol != PROTOCOL:
            error = PluginMisbehaved(
                f"it speaks protocol {hello.protocol}, and this host {PROTOCOL}",
                hint="install the version of the plugin's SDK that fits this agent",
            )
            self._lose(error)
            await call.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))

    def _take(self, message: Message) -> None:
        """Take one message; PluginMisbehaved if it may not come now."""
        if isinstance(message, PluginMisbehaved):
            raise message
        kind = message.WhichOneof("message")
        if kind == "results" and self._ready.done():
            self._answer(message.results)
        elif kind == "ready" and not self._ready.done():
            self._ready.set_result(self._facts(message.ready))
        elif kind == "pong" and self._pong is not None and message.pong.id == self._pings:
            if not self._pong.done():
                self._pong.set_result(None)
        else:
            raise _misbehaved(f"it sent {kind or 'an unknown message'} when nothing asked for it")

    def _answer(self, message: pb.Results) -> None:
        """Match results with the oldest work that is out."""
        if not self._pending or self._pending[0].id != message.work_id:
            raise _misbehaved(f"it sent results of work {message.work_id}, which is not next")
        pending = self._pending[0]
        asked = len(pending.work.windows)
        if len(message.columns) > COLUMNS + 4 * asked * len(self._outputs):
            raise _misbehaved(f"it sent {len(message.columns)} columns for {asked} windows")
        columns, failures = decode_results(message, self._outputs, asked)
        self._pending.popleft()
        now_s = self._clock.monotonic_s()
        if self._pending:
            self._pending[0].since_s = now_s
        if not pending.answer.done():
            pending.answer.set_result(Results(columns, failures, now_s - pending.sent_s))

    def _facts(self, ready: pb.Ready) -> Facts:
        facts = {
            _shown(key, _FACT_CHARACTERS): _shown(value, _FACT_CHARACTERS)
            for key, value in sorted(ready.facts.items())[:_FACTS]
        }
        return Facts(self._sdk, _shown(ready.detail, _DETAIL_CHARACTERS), facts)

    async def _send(self, message: pb.ToPlugin) -> None:
        call = self._call
        if call is None or self._lost.done():
            raise self._lost.result() if self._lost.done() else _gone("it has not called")
        async with self._writing:
            try:
                await strict(call.write, message)
            except (grpc.RpcError, grpc.aio.BaseError, StrayCancellation, RuntimeError):
                self._lose(_gone("it ended its call"))
                raise self._lost.result() from None

    async def _unless_lost(self, future: asyncio.Future[T]) -> T:
        """Wait for `future`; raise why the line ended, if that comes first."""
        ends: list[asyncio.Future[Any]] = [future, self._lost]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        raise self._lost.result()

    def _lose(self, error: PluginError) -> None:
        if not self._lost.done():
            self._lost.set_result(error)


def overdue(deadline_s: float, what: str) -> PluginUnavailable:
    """Say that a plugin was too slow."""
    return PluginUnavailable(
        f"{what} within {deadline_s:g} s",
        hint="see `forebay plugins logs`; if it only needs longer, set limits.deadline",
        kind="deadline",
    )


def _gone(why: str) -> PluginUnavailable:
    return PluginUnavailable(
        f"the line to it ended: {why}", hint="see `forebay plugins logs`", kind="exit"
    )


def _misbehaved(what: str) -> PluginMisbehaved:
    return PluginMisbehaved(what, hint="this is a defect of the plugin or its SDK: report it there")


def _shown(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:most])
