"""One call of a program: who asks, what it wants, how a no goes back.

Owns the token of a call, the limits of its request, and which status an error has. Must not know
what is asked.

Anybody can call this port. gRPC reads the request of a unary call before it calls a handler, and
waits for it as long as the caller likes. So each method is served as one of streams, which is the
same on the wire: a stranger is refused before anything is read, and the one request has REQUEST_S
to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError

from forebay_fleet.access import apitokens
from forebay_fleet.access.roles import Role
from forebay_fleet.errors import DecodingError, FleetError, StoreError, UsageError
from forebay_fleet.identity.answering import HINT
from forebay_fleet.values.offer import STALLED_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from forebay_fleet.identity.answering import Context
    from forebay_fleet.registry import RegistryThread

Request = TypeVar("Request", bound="Message")

REQUEST_S = 10.0
"""How long a request may take to come."""
STATUS: dict[type[FleetError], grpc.StatusCode] = {
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    StoreError: grpc.StatusCode.UNAVAILABLE,
    DecodingError: grpc.StatusCode.DATA_LOSS,
}

_log = structlog.get_logger()


class Refused(FleetError):
    """Who asks may not."""

    def __init__(self, status: grpc.StatusCode, message: str, *, hint: str) -> None:
        """Keep them."""
        super().__init__(message, hint=hint)
        self.status = status


class Call:
    """One call of somebody who may make it."""

    def __init__(self, context: Context, may: Callable[[], Awaitable[None]]) -> None:
        """Answer by `context`; `may` asks anew who it is."""
        self._context = context
        self.may = may
        """Raises Refused once the token is not good any more."""
        left_s: float | None = context.time_remaining()
        self.until_s = math.inf if left_s is None else time.monotonic() + left_s
        """When nobody waits for the answer any more, of the monotonic clock."""

    async def write(self, message: bytes) -> None:
        """Send a message. Waits while the client takes nothing: there is never more than one.

        Raises:
            Refused: it took nothing for STALLED_S; what it asked for makes room for others.
        """
        try:
            await asyncio.wait_for(self._context.write(message), STALLED_S)
        except TimeoutError:
            raise Refused(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"nothing was taken for {STALLED_S:g} s",
                hint="read what comes as it comes, and ask again",
            ) from None

    async def begin(self) -> None:
        """Say that the call is taken, before there is a message."""
        await self._context.send_initial_metadata(())


def handler(
    registry: RegistryThread,
    kind: type[Request],
    method: Callable[[Request, Call], Awaitable[None]],
) -> Any:  # noqa: ANN401 - gRPC has no name for it
    """Give what serves a method whose request is a `kind`, for who has a token of `registry`."""
    serve = partial(_serve, registry, kind, method)
    return grpc.stream_stream_rpc_method_handler(serve)


def generic(service: str, handlers: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
    """Give what adds the methods of a service to a server."""
    return grpc.method_handlers_generic_handler(service, dict(handlers))


async def _serve(
    registry: RegistryThread,
    kind: type[Request],
    method: Callable[[Request, Call], Awaitable[None]],
    _requests: object,
    context: Context,
) -> None:
    try:
        may = partial(_known, registry, context)
        await may()
        call = Call(context, may)
        await method(await _request(kind, context), call)
    except Refused as refused:
        await _refuse(context, refused.status, refused)
    except FleetError as error:
        status = next((s for of, s in STATUS.items() if isinstance(error, of)), None)
        if status is None:
            _log.error("values_failed", error=str(error), hint=error.hint)
        await _refuse(context, status or grpc.StatusCode.INTERNAL, error)


async def _known(registry: RegistryThread, context: Context) -> None:
    """See that a call has a token of somebody who may look. Raises Refused, StoreError."""
    given = dict(context.invocation_metadata() or ()).get("authorization", "")
    kind, _, token = str(given).partition(" ")
    who = None
    if kind.lower() == "bearer":
        who = await registry(lambda known: apitokens.find(known, token, time.time_ns()))
    if who is None:
        hint = "send `authorization: Bearer TOKEN`; forebay-fleet api-token add makes one"
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "no token that is good", hint=hint)
    if not who.may(Role.VIEWER):
        message = f"this needs the role {Role.VIEWER.word}"
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, message, hint="ask an admin")


async def _request(kind: type[Request], context: Context) -> Request:
    """Read the one request of a call. UsageError if it does not come, or is none."""
    try:
        data: Any = await asyncio.wait_for(context.read(), REQUEST_S)
        if data is not grpc.aio.EOF:
            return kind.FromString(data)
    except TimeoutError:
        pass
    except DecodeError:
        raise UsageError("bytes that are no request", hint="see values.proto") from None
    raise UsageError("no request has come", hint="send one message")


async def _refuse(context: Context, status: grpc.StatusCode, error: FleetError) -> None:
    """End a call; behind a message that is not taken, once the client takes it, or has gone."""
    with contextlib.suppress(grpc.aio.InternalError):  # it has gone
        await context.abort(status, f"{error} ({error.hint})", ((HINT, error.hint),))
