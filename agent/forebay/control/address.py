"""Where the control socket is, what its path may be, whether somebody answers there.

Both sides use it. Must not know the protocol spoken on the socket, nor import grpc: a command that
finds no agent says so at once.
"""

from __future__ import annotations

import os
import socket
import stat
from enum import Enum
from typing import TYPE_CHECKING

from forebay.config.places import MAX_SOCKET_PATH_BYTES
from forebay.errors import AgentForbidden, AgentUnreachable, RequestInvalid

if TYPE_CHECKING:
    from pathlib import Path


class Answer(Enum):
    """What knocking at a socket's path brings."""

    LIVE = "a process listens"
    STALE = "the process that listened is gone"
    MISSING = "there is no such file"
    FORBIDDEN = "this user may not connect"
    NO_SOCKET = "the file is no socket"


def too_long(path: Path) -> bool:
    """Whether no Unix socket can have this path."""
    return len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES


def knock(path: Path) -> Answer:
    """Connect to `path` and hang up; never waits. A listener too busy to accept is LIVE.

    OSError for what is none of the answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            if not stat.S_ISSOCK(path.stat().st_mode):
                return Answer.NO_SOCKET
            probe.connect(os.fspath(path))
        except BlockingIOError:
            return Answer.LIVE
        except ConnectionRefusedError:
            return Answer.STALE
        except (FileNotFoundError, NotADirectoryError):
            return Answer.MISSING
        except PermissionError:
            return Answer.FORBIDDEN
    return Answer.LIVE


def check(path: Path) -> None:
    """Return if somebody listens on `path`.

    AgentUnreachable if nobody does or this user may not connect, RequestInvalid if no agent can.
    """
    if too_long(path):
        raise RequestInvalid(
            f"{path} is longer than a socket's path can be", hint="name a shorter path"
        )
    where = f"cannot reach the agent at {path}"
    try:
        answer = knock(path)
    except OSError as error:
        raise AgentUnreachable(
            f"{where}: {error.strerror}", hint="check the path of the socket"
        ) from error
    match answer:
        case Answer.LIVE:
            return
        case Answer.MISSING | Answer.STALE:
            raise AgentUnreachable(
                f"{where}: {answer.value}",
                hint="start it: `systemctl start forebay` or `forebay run --config PATH`",
            )
        case Answer.FORBIDDEN:
            raise AgentForbidden(
                f"{where}: {answer.value}",
                hint="use sudo, or join the group that owns the socket",
            )
        case Answer.NO_SOCKET:
            raise RequestInvalid(f"{where}: {answer.value}", hint="name the agent's socket")
