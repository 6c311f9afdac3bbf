"""Answers the questions about the agent itself on the control socket.

Owns their translation. Must not know how anything is done.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.control.limits import DOCTOR_BYTES, LIST_BYTES, LOG_LINES
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.config.tended import Tending


DEFAULT_LINES = 100


class TendService:
    """One method for each question."""

    def __init__(self, tending: Tending | None) -> None:
        """Ask `tending`; None where the agent is no process of its own."""
        self._tending = tending

    def _asked(self) -> Tending:
        if self._tending is None:
            raise RequestFailed("this agent cannot do that", hint="start `forebay run`")
        return self._tending

    async def restart(self, request: pb.RestartRequest, who: str) -> pb.TendReply:
        """Answer RestartPart."""
        await self._asked().restart(request.part, who)
        return pb.TendReply()

    async def log_level(self, request: pb.LogLevelRequest, who: str) -> pb.TendReply:
        """Answer SetLogLevel."""
        await self._asked().log_level(request.level, request.for_s, who)
        return pb.TendReply()

    async def log(self, request: pb.LogRequest) -> pb.LogReply:
        """Answer ReadLog, the oldest first; what is too much for a reply is left out."""
        lines: list[pb.LogLine] = []
        left = LIST_BYTES
        limit = min(request.limit or DEFAULT_LINES, LOG_LINES)
        for number, text in reversed(self._asked().log(request.after, limit)):
            line = pb.LogLine(number=number, text=text)
            left -= line.ByteSize()
            if left < 0:
                break
            lines.append(line)
        return pb.LogReply(lines=lines[::-1])

    async def support(self, request: pb.SupportRequest, who: str) -> AsyncGenerator[pb.SupportPart]:
        """Answer MakeSupport piece by piece."""
        if len(request.doctor.encode()) > DOCTOR_BYTES:
            raise RequestInvalid("that is too much of a doctor", hint=f"at most {DOCTOR_BYTES} B")
        async with aclosing(self._asked().support(who, request.doctor)) as pieces:
            async for piece in pieces:
                yield pb.SupportPart(data=piece)
