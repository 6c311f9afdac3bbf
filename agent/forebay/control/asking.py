"""One connection to a running agent, and how a question is put to it.

Owns deadlines and the translation of every failure into a ControlError with a next step. Blocking:
commands have no event loop. Must not know the questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from forebay.control.address import check
from forebay.control.limits import HINT_KEY, MAX_REPLY_BYTES, SERVICE
from forebay.errors import AgentUnreachable, ControlError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from google.protobuf.message import Message

R = TypeVar("R", bound="Message")

DEADLINE_S = 5.0
"""Longest wait for one answer."""
STREAM_DEADLINE_S = 3600.0
"""Longest time that a device may take to say what it has."""


class Asking:
    """One connection to the agent that listens on `path`.

    Entering raises as `address.check`. Every question raises AgentUnreachable if no answer comes
    within `deadline_s`, RequestInvalid or RequestFailed if the agent refuses it.
    """

    def __init__(self, path: Path, deadline_s: float = DEADLINE_S) -> None:
        self._path = path.absolute()
        self._deadline_s = deadline_s
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Self:
        """Check that somebody listens, then connect."""
        check(self._path)
        self._channel = grpc.insecure_channel(
            f"unix:{self._path}",
            options=(
                ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
                ("grpc.enable_http_proxy", 0),
            ),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _ask(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], R],
        deadline_s: float | None = None,
    ) -> R:
        if self._channel is None:
            raise RuntimeError("the connection is used outside of its `with` block")
        call: Any = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=parse,
        )
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        try:
            reply: R = call(request, timeout=limit_s)
        except grpc.RpcError as error:
            raise self._translated(error, limit_s) from error
        return reply

    def _translated(self, error: Any, limit_s: float) -> ControlError:  # noqa: ANN401 - RpcError and Call in one
        """Give the ControlError that says what `error` means to a person."""
        code: grpc.StatusCode = error.code()
        details: str = error.details() or code.name
        hint = dict(error.trailing_metadata() or ()).get(HINT_KEY, b"").decode()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return AgentUnreachable(
                f"the agent at {self._path} did not answer within {limit_s:g} s",
                hint="see `systemctl status forebay`; if it hangs, restart it",
            )
        if code is grpc.StatusCode.UNAVAILABLE:
            return AgentUnreachable(
                f"the agent at {self._path} hung up ({details})",
                hint="it may be stopping; see `systemctl status forebay`",
            )
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return RequestInvalid(details, hint=hint)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return RequestFailed(
                "the agent does not know this command", hint="restart it after the upgrade"
            )
        return RequestFailed(details, hint=hint or "see the agent's log: `journalctl -u forebay`")

    def _follow(self, method: str, request: Message, parse: Callable[[bytes], R]) -> Iterator[R]:
        """Give the replies of a question that takes the device as long as it takes."""
        if self._channel is None:
            raise RuntimeError("the connection is used outside of its `with` block")
        call: Any = self._channel.unary_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=parse,
        )
        try:
            yield from call(request, timeout=STREAM_DEADLINE_S)
        except grpc.RpcError as error:
            raise self._translated(error, STREAM_DEADLINE_S) from error
