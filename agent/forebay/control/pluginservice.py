"""Answers the questions about plugins on the control socket.

Owns their translation and what one may cost. Must not know how plugins are run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.control.limits import LIST_BYTES, LOG_LINES
from forebay.control.wire import message
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from forebay.control.pluginview import PluginsView

_DEFAULT_LINES = 100


class PluginService:
    """One method for each question: request message in, reply message out."""

    def __init__(self, view: PluginsView) -> None:
        self._view = view

    async def plugins(self, request: pb.PluginsRequest) -> pb.PluginsReply:
        """Answer ListPlugins."""
        found = [
            message(pb.PluginStatus, one)
            for one in self._view.statuses()
            if request.name in ("", one.name)
        ]
        if request.name and not found:
            raise RequestInvalid(
                f"there is no plugin {request.name!r}", hint="`forebay plugins ls` lists them"
            )
        return pb.PluginsReply(plugins=found, state=self._view.state)

    async def log(self, request: pb.PluginLogRequest) -> pb.PluginLogReply:
        """Answer ReadPluginLog, the oldest first; what is too much for a reply is left out."""
        limit = min(request.limit or _DEFAULT_LINES, LOG_LINES)
        lines, size = [], 0
        for one in reversed(self._view.log(request.name, request.after, limit)):
            line = message(pb.PluginLogLine, one)
            size += line.ByteSize()
            if size > LIST_BYTES:
                break
            lines.append(line)
        return pb.PluginLogReply(lines=lines[::-1])

    async def restart(self, request: pb.PluginChoice) -> pb.PluginDone:
        """Answer RestartPlugin."""
        return message(pb.PluginDone, await self._view.restart(request.name))

    async def refresh(self, request: pb.PluginChoice) -> pb.PluginDone:
        """Answer RefreshPlugins."""
        return message(pb.PluginDone, await self._view.refresh(request.name))
