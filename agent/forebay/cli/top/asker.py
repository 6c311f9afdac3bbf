"""Asks the agent for one picture of `forebay top`.

Owns the connection, and past values, which are remembered from picture to picture.
Blocking; the screen calls it in a thread. Must not know the screen.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.cli.top import sheets
from forebay.cli.top.sheets import Sheet
from forebay.control.client import AgentClient
from forebay.errors import AgentUnreachable, ControlError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from forebay._proto import control_pb2 as pb
    from forebay.clock import Clock

VIEWS = ("devices", "tags", "journal", "uplinks", "plugins", "events")
TAGS, LINES = 200, 200
"""How many tags and lines of the log a picture has at most."""


@dataclass(frozen=True)
class Picture:
    """What the screen shows: of a gateway, or why there is none."""

    view: str
    status: pb.StatusReply | None = None
    sheet: Sheet | None = None
    gone: str = ""


class Asker:
    """The connection to the agent on `path`, made when it is needed and again when it broke."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._one = threading.Lock()  # who leaves while an answer is on its way
        self._open = ExitStack()
        self._agent: AgentClient | None = None
        self._clock = clock
        self._past: dict[str, deque[float]] = {}

    def close(self) -> None:
        """Hang up."""
        with self._one:
            self._hang_up()

    def _hang_up(self) -> None:
        self._agent = None
        self._open.close()

    def picture(self, view: str, pattern: str) -> Picture:
        """Ask for what `view` shows. Raises nothing: that there is no agent is a picture too."""
        with self._one:
            return self._picture(view, pattern)

    def _picture(self, view: str, pattern: str) -> Picture:
        try:
            agent = self._connected()
            status = agent.status()
            try:
                sheet = self._sheet(agent, view, pattern)
            except (RequestFailed, RequestInvalid) as error:
                sheet = Sheet((" ",), (), f"{error}; {error.hint}")
        except AgentUnreachable as error:
            self._hang_up()
            return Picture(view, gone=f"{error}; {error.hint}")
        except ControlError as error:
            return Picture(view, gone=f"{error}; {error.hint}")
        return Picture(view, status, sheet)

    def restart(self, part: str) -> str:
        """Have a part restarted; give what is to be said."""
        try:
            with AgentClient(self._path) as agent:  # its own: pictures go on meanwhile
                agent.restart_part(part)
        except ControlError as error:
            return f"{part}: {error}; next: {error.hint}"
        return f"restarted  {part}"

    def _connected(self) -> AgentClient:
        if self._agent is None:
            self._agent = self._open.enter_context(AgentClient(self._path))
        return self._agent

    def _sheet(self, agent: AgentClient, view: str, pattern: str) -> Sheet:
        now_ns = self._clock.now_ns()
        match view:
            case "devices":
                return sheets.devices(agent.devices(), now_ns)
            case "tags":
                return self._tags(agent, pattern, now_ns)
            case "journal":
                return sheets.journal(agent.journal_status(), agent.segments(), now_ns)
            case "uplinks":
                return sheets.uplinks(agent.uplinks())
            case "plugins":
                return sheets.plugins(agent.plugins())
            case _:
                return sheets.events(agent.log(limit=LINES).lines)

    def _tags(self, agent: AgentClient, pattern: str, now_ns: int) -> Sheet:
        wanted = pattern if not pattern or "*" in pattern else f"*{pattern}*"
        found = next(iter(agent.tags("", wanted))).tags[:TAGS]
        past: dict[str, deque[float]] = {}
        for one in found:
            name, value = f"{one.device}/{one.name}", sheets.number(one)
            past[name] = self._past.get(name, deque(maxlen=sheets.SPARK))
            if value is not None:
                past[name].append(value)
        self._past = past  # what is no longer looked for is forgotten
        return sheets.tags(found, {name: tuple(some) for name, some in past.items()}, now_ns)
