"""Answers commands on the control socket.

Owns the socket file, from making it with mode 0660 to removing it, and what one request may cost.
Must not know the agent: it asks an `AgentView`. The file system decides who may connect: whoever
may write to the socket file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import fnmatch
import os
import re
import shutil
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import grpc

from forebay._proto import control_pb2 as pb
from forebay.config.places import MAX_SOCKET_PATH_BYTES
from forebay.control import browsing, scanning
from forebay.control.address import Answer, knock, too_long
from forebay.control.carryservice import CarryService
from forebay.control.configservice import ConfigService
from forebay.control.front import Front
from forebay.control.limits import (
    HINT_KEY,
    LIST_BYTES,
    MAX_PATTERN_CHARS,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    PAGE_BYTES,
    PAGE_TAGS,
    QUARANTINE_IDS,
    READ_TAGS,
    SERVICE,
    SHOW_RECORDS,
)
from forebay.control.operating import Operating
from forebay.control.pluginservice import PluginService
from forebay.control.tendservice import TendService
from forebay.control.view import TagKey
from forebay.control.wire import message, tag_message
from forebay.errors import (
    ControlSocketBusy,
    ControlSocketUnusable,
    ForebayError,
    RequestFailed,
    RequestInvalid,
)
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Sequence,
    )
    from pathlib import Path
    from types import TracebackType

    from google.protobuf.message import Message

    from forebay.control.view import AgentView

Q = TypeVar("Q", bound="Message")

_DEFAULT_TAGS = 1_000
_DEFAULT_RECORDS = 20
_CONCURRENT_REQUESTS = 16
_TAGS_A_TURN = 250  # about 2 ms of work between two turns of the agent's event loop
_STOP_GRACE_S = 1.0
_TEMPORARY_BYTES = len("/.12345678/s")


class ControlServer:
    """Serves `view` on the Unix socket `path` for as long as it is entered.

    Entering makes the directory (mode 0750) if it is missing, replaces the socket of a process that
    is gone, and raises ControlSocketBusy if a process still listens on it, ControlSocketUnusable if
    the socket cannot be made.
    """

    def __init__(self, path: Path, view: AgentView) -> None:
        self._path = path
        self._view = view
        self._serving = contextlib.AsyncExitStack()
        self._inode = 0

    async def __aenter__(self) -> Self:
        """Listen. When this returns, commands are answered."""
        if len(
            os.fsencode(self._path.parent)
        ) + _TEMPORARY_BYTES > MAX_SOCKET_PATH_BYTES or too_long(self._path):
            raise ControlSocketUnusable(
                f"the path of the control socket {self._path} is longer than an address can be",
                hint="set [control] socket or FOREBAY_SOCKET to a shorter path",
            )
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with _private_directory(self._path.parent) as hidden:
                await self._listen(hidden)
        except OSError as error:
            raise ControlSocketUnusable(
                f"cannot make the control socket {self._path}: {error.strerror or error}",
                hint="give the agent's user write access to its directory",
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more requests, let those that run finish within a second, remove the socket."""
        self._withdraw()
        await self._serving.aclose()

    async def _listen(self, hidden: Path) -> None:
        """Bind where nobody else can reach, set the mode, then move the socket to its place.

        gRPC listens at a socket of its own there, to which `Front` alone leads.
        """
        outer, inner = hidden / "s", hidden / "i"
        server = grpc.aio.server(
            maximum_concurrent_rpcs=_CONCURRENT_REQUESTS,
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", MAX_REPLY_BYTES),
            ),
        )
        front = Front()
        server.add_generic_rpc_handlers((_handlers(_Service(self._view), self._view, front),))
        server.add_insecure_port(f"unix:{inner}")
        async with contextlib.AsyncExitStack() as undo:
            await undo.enter_async_context(front)
            undo.push_async_callback(server.stop, _STOP_GRACE_S)
            await server.start()
            front.listen(outer, inner)
            self._publish(outer)
            self._serving = undo.pop_all()

    def _publish(self, hidden: Path) -> None:
        """Move the socket, with its mode set, to where commands look for it."""
        hidden.chmod(0o660)
        with _locked(self._path.parent):
            self._refuse_if_taken()
            hidden.rename(self._path)
            self._inode = self._path.stat().st_ino

    def _withdraw(self) -> None:
        """Remove the socket, unless somebody removed ours by hand and another agent's is there."""
        with contextlib.suppress(FileNotFoundError), _locked(self._path.parent):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _refuse_if_taken(self) -> None:
        match knock(self._path):
            case Answer.LIVE | Answer.FORBIDDEN:
                raise ControlSocketBusy(
                    f"another process answers on the control socket {self._path}",
                    hint="stop that agent, or give this one its own [control] socket",
                )
            case Answer.NO_SOCKET:
                raise ControlSocketUnusable(
                    f"{self._path} exists and is no socket",
                    hint="move that file away, or set [control] socket to another path",
                )
            case Answer.STALE | Answer.MISSING:
                pass


@contextlib.contextmanager
def _private_directory(parent: Path) -> Iterator[Path]:
    """Make a directory that only this user can enter, and remove it afterwards."""
    hidden = parent / tempfile.mkdtemp(prefix=".", dir=parent)
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other agents from replacing sockets in `directory`. Nothing inside may wait."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class _Service:
    """One method for each question: request message in, reply message out."""

    def __init__(self, view: AgentView) -> None:
        self._view, self.config = view, ConfigService(view.config)

    async def status(self, _: pb.StatusRequest) -> pb.StatusReply:
        reply = message(pb.StatusReply, self._view.status())
        reply.notes.extend(await self.config.notes())
        return reply

    async def fleet(self, _: pb.FleetRequest) -> pb.FleetReply:
        link = self._view.link
        if link is None:
            raise RequestFailed("this agent has no line to a fleet", hint="start `forebay run`")
        return pb.FleetReply(**link._asdict())

    async def devices(self, _: pb.DevicesRequest) -> pb.DevicesReply:
        return pb.DevicesReply(devices=[message(pb.DeviceStatus, d) for d in self._view.devices()])

    async def plan(self, request: pb.PlanRequest) -> pb.PlanReply:
        return message(pb.PlanReply, self._view.plan(request.device))

    async def uplinks(self, _: pb.UplinksRequest) -> pb.UplinksReply:
        return pb.UplinksReply(uplinks=[message(pb.UplinkStatus, u) for u in self._view.uplinks()])

    async def ledger(self, _: pb.LedgerRequest) -> pb.LedgerReply:
        lines = await self._view.ledger()
        return pb.LedgerReply(lines=[message(pb.LedgerLine, line) for line in lines])

    async def journal_status(self, _: pb.JournalStatusRequest) -> pb.JournalStatusReply:
        return message(pb.JournalStatusReply, await self._view.journal_status())

    async def segments(self, request: pb.SegmentsRequest) -> pb.SegmentsReply:
        stream = _stream(request.stream) if request.stream else ""
        return pb.SegmentsReply(
            segments=[
                message(pb.SegmentStatus, segment)
                for segment in await self._view.segments()
                if stream in ("", segment.stream)
            ]
        )

    async def show(self, request: pb.ShowRequest) -> pb.ShowReply:
        stream = _stream(request.stream or Stream.TELEMETRY.value)
        limit = min(request.limit or _DEFAULT_RECORDS, SHOW_RECORDS)
        records = await self._view.show_records(
            stream, request.seq_from, limit, request.epoch_number
        )
        return pb.ShowReply(records=[message(pb.RecordSummary, record) for record in records])

    async def quarantine(self, request: pb.QuarantineRequest) -> pb.QuarantineReply:
        reply = pb.QuarantineReply()
        size = 0
        for one in self._view.set_aside.list(request.uplink):
            record = message(pb.QuarantinedRecord, one)
            size += record.ByteSize()
            if size > LIST_BYTES:
                break
            reply.records.append(record)
        return reply

    async def retry_quarantined(self, request: pb.QuarantineChoice) -> pb.QuarantineDone:
        return message(pb.QuarantineDone, await self._view.set_aside.retry(_choice(request)))

    async def drop_quarantined(self, request: pb.QuarantineChoice) -> pb.QuarantineDone:
        return message(pb.QuarantineDone, await self._view.set_aside.drop(_choice(request)))

    async def tags(self, request: pb.TagsRequest) -> pb.TagsReply:
        if len(request.pattern) > MAX_PATTERN_CHARS:
            raise RequestInvalid(
                f"a pattern has at most {MAX_PATTERN_CHARS} characters", hint="shorten the pattern"
            )
        keys = self._view.tag_keys()
        if request.device or request.pattern:
            # Matching 100,000 names takes some 50 ms: not on the loop that polls devices.
            keys = await asyncio.to_thread(_matching, keys, request.device, request.pattern)
        limit = min(request.limit or _DEFAULT_TAGS, PAGE_TAGS)
        reply = pb.TagsReply(matched=len(keys))
        size = 0
        page = keys[request.offset : request.offset + limit]
        for start in range(0, len(page), _TAGS_A_TURN):
            for value in self._view.tag_values(page[start : start + _TAGS_A_TURN]):
                if size > PAGE_BYTES:
                    return reply
                if value is not None:
                    tag = tag_message(value)
                    size += tag.ByteSize()
                    reply.tags.append(tag)
            await asyncio.sleep(0)
        return reply

    async def read(self, request: pb.ReadRequest) -> pb.ReadReply:
        if len(request.tags) > READ_TAGS:
            raise RequestInvalid(
                f"one request reads at most {READ_TAGS} tags", hint="ask for fewer at once"
            )
        keys = [TagKey(*text.partition("/")[::2]) for text in request.tags]
        reply = pb.ReadReply()
        for text, value in zip(request.tags, self._view.tag_values(keys), strict=True):
            if value is None:
                reply.unknown.append(text)
            else:
                reply.tags.append(tag_message(value))
        return reply


def _matching(keys: Sequence[TagKey], device: str, pattern: str) -> list[TagKey]:
    """Give the keys of `device` whose `DEVICE/TAG` matches the shell `pattern`; empty is all."""
    matches = re.compile(fnmatch.translate(pattern or "*")).match
    return [key for key in keys if device in ("", key.device) and matches(str(key))]


def _stream(text: str) -> str:
    """Give `text` if it is a stream's name; RequestInvalid otherwise."""
    if text not in tuple(Stream):
        raise RequestInvalid(
            f"there is no stream {text!r}", hint=f"streams are: {', '.join(Stream)}"
        )
    return text


def _choice(request: pb.QuarantineChoice) -> Sequence[str]:
    """Give the ids, each once; RequestInvalid if there are none or too many."""
    if not 1 <= len(request.ids) <= QUARANTINE_IDS:
        raise RequestInvalid(
            f"one request names 1 to {QUARANTINE_IDS} records in quarantine",
            hint="list them: forebay journal quarantine ls",
        )
    return tuple(dict.fromkeys(request.ids))


def _handlers(service: _Service, view: AgentView, front: Front) -> grpc.GenericRpcHandler:
    operating, plugins = Operating(view.gate), PluginService(view.plugins)
    carried, tending = CarryService(view.carrying), TendService(view.tending)
    config = service.config
    asked_by = partial(_asked_by_handler, front)
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "BrowseDevice": _stream_handler(pb.BrowseRequest, partial(browsing.browse, view)),
            "ExplainPlan": _handler(pb.PlanRequest, service.plan),
            "GetStatus": _handler(pb.StatusRequest, service.status),
            "ListDevices": _handler(pb.DevicesRequest, service.devices),
            "ListTags": _handler(pb.TagsRequest, service.tags),
            "ReadTags": _handler(pb.ReadRequest, service.read),
            "GetLedger": _handler(pb.LedgerRequest, service.ledger),
            "ListUplinks": _handler(pb.UplinksRequest, service.uplinks),
            "GetJournalStatus": _handler(pb.JournalStatusRequest, service.journal_status),
            "ListSegments": _handler(pb.SegmentsRequest, service.segments),
            "ListPlugins": _handler(pb.PluginsRequest, plugins.plugins),
            "ReadPluginLog": _handler(pb.PluginLogRequest, plugins.log),
            "RestartPlugin": _handler(pb.PluginChoice, plugins.restart),
            "RefreshPlugins": _handler(pb.PluginChoice, plugins.refresh),
            "ScanDevice": _stream_handler(pb.ScanRequest, partial(scanning.scan, view)),
            "ShowRecords": _handler(pb.ShowRequest, service.show),
            "ListQuarantine": _handler(pb.QuarantineRequest, service.quarantine),
            "RetryQuarantined": _handler(pb.QuarantineChoice, service.retry_quarantined),
            "DropQuarantined": _handler(pb.QuarantineChoice, service.drop_quarantined),
            "WriteTag": asked_by(pb.WriteRequest, operating.write),
            "CallMethod": asked_by(pb.CallRequest, operating.call),
            "GetConfig": _handler(pb.ConfigRequest, config.status),
            "ListAttempts": _handler(pb.AttemptsRequest, config.attempts),
            "ReadConfig": _stream_handler(pb.ConfigFilesRequest, config.read),
            "ApplyConfig": _taking_handler(front, pb.ConfigPart, config.apply),
            "RollbackConfig": asked_by(pb.RollbackRequest, config.rollback),
            "TakeBundle": _taking_handler(front, pb.BundlePart, carried.bundle),
            "CollectData": _stream_asked_by(front, pb.CollectRequest, carried.collect),
            "RestartPart": asked_by(pb.RestartRequest, tending.restart),
            "SetLogLevel": asked_by(pb.LogLevelRequest, tending.log_level),
            "GetFleet": _handler(pb.FleetRequest, service.fleet),
            "ReadLog": _handler(pb.LogRequest, tending.log),
            "MakeSupport": _stream_asked_by(front, pb.SupportRequest, tending.support),
            "AcknowledgeData": asked_by(pb.AcknowledgeRequest, carried.acknowledge),
        },
    )


def _handler(
    request: type[Q], answer: Callable[[Q], Awaitable[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method to which everybody is alike."""
    return _handler_of(request, lambda asked, _: answer(asked))


def _asked_by_handler(
    front: Front, request: type[Q], answer: Callable[[Q, str], Awaitable[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method that is told who asks."""
    return _handler_of(request, lambda asked, peer: answer(asked, front.who(peer)))


def _handler_of(
    request: type[Q], answer: Callable[[Q, str], Awaitable[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method, told gRPC's name of the peer; an error meant becomes a status."""

    async def serve(asked: Q, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        try:
            return await answer(asked, context.peer())
        except ForebayError as error:
            return await _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        serve,
        request_deserializer=request.FromString,
        response_serializer=lambda reply: reply.SerializeToString(),
    )


def _stream_handler(
    request: type[Q], answer: Callable[[Q], AsyncGenerator[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method that answers piece by piece, and to which everybody is alike."""
    return _stream_handler_of(request, lambda asked, _: answer(asked))


def _stream_asked_by(
    front: Front, request: type[Q], answer: Callable[[Q, str], AsyncGenerator[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method that answers piece by piece, and is told who asks."""
    return _stream_handler_of(request, lambda asked, peer: answer(asked, front.who(peer)))


def _stream_handler_of(
    request: type[Q], answer: Callable[[Q, str], AsyncGenerator[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method, told gRPC's name of the peer; the person may hang up at any point."""

    async def serve(
        asked: Q, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Message]:
        try:
            async with contextlib.aclosing(answer(asked, context.peer())) as replies:
                async for reply in replies:
                    yield reply
        except ForebayError as error:
            await _abort(context, error)

    return grpc.unary_stream_rpc_method_handler(
        serve,
        request_deserializer=request.FromString,
        response_serializer=lambda reply: reply.SerializeToString(),
    )


def _taking_handler(
    front: Front, request: type[Q], answer: Callable[[AsyncIterator[Q], str], Awaitable[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Serve one method that is told something piece by piece, and who tells it."""

    async def serve(
        parts: AsyncIterator[Q], context: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        try:
            return await answer(parts, front.who(context.peer()))
        except ForebayError as error:
            return await _abort(context, error)

    return grpc.stream_unary_rpc_method_handler(
        serve,
        request_deserializer=request.FromString,
        response_serializer=lambda reply: reply.SerializeToString(),
    )


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: ForebayError) -> NoReturn:
    """End a request with what is wrong, and the next step."""
    invalid = isinstance(error, RequestInvalid)
    await context.abort(
        grpc.StatusCode.INVALID_ARGUMENT if invalid else grpc.StatusCode.ABORTED,
        str(error),
        ((HINT_KEY, error.hint.encode()),),
    )
