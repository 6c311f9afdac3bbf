"""What a plugin's unit runs: it starts the plugin that the agent asks for, and watches beside it.

Owns the inner end of the line to `unitprocess`, which is the outer one. Must not know the plugin's
protocol, and imports nothing but what it needs to look at processes and files.

    launcher SOCKET

It connects to the agent's socket and takes one line of JSON, the request, with a descriptor for
what the plugin prints. It answers with lines of JSON: what the plugin uses, twice a second, and how
it ended. If the agent goes away, it ends, and systemd ends all that is left in the unit with it.

It lives as the plugin's user, and a plugin may kill or stop it; both are seen by the agent, which
then ends the unit. A plugin cannot read or change it: it is not dumpable (prctl(2)), and the unit
refuses ptrace(2).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from forebay.pluginhost import watch

REQUEST_BYTES = 1 << 18
LOOK_S = 0.5
STORED_LOOKS = 2
"""The disk is looked at once in so many looks."""
_PR_SET_DUMPABLE = 4
LIMITS = {"files": resource.RLIMIT_NOFILE, "file_size": resource.RLIMIT_FSIZE}


def main(arguments: list[str]) -> int:
    """Run one plugin; 0 unless the agent could not be understood."""
    (path,) = arguments
    _close_up()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(path)
        request, output = _request(line)
        for name, limit in LIMITS.items():
            resource.setrlimit(limit, (request[name], request[name]))
        try:
            child = subprocess.Popen(  # noqa: S603 - what the agent asks for
                request["command"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**request["environment"], **_own()},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            _say(line, {"unstartable": error.strerror or str(error)})
            return 0
        finally:
            os.close(output)
        with suppress(BrokenPipeError, ConnectionResetError):
            _watch(line, child)
    return 0


def _close_up() -> None:
    """Let nobody of the same user look into this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def _own() -> dict[str, str]:
    """Give what the unit says of its own places."""
    return {"HOME": os.environ["STATE_DIRECTORY"]}


def _request(line: socket.socket) -> tuple[dict[str, Any], int]:
    """Wait for the one line that says what to run."""
    data, descriptors, _, _ = socket.recv_fds(line, REQUEST_BYTES, 1)
    while not data.endswith(b"\n"):
        piece = line.recv(REQUEST_BYTES)
        if not piece or len(data) > REQUEST_BYTES:
            sys.exit(1)
        data += piece
    return json.loads(data), descriptors[0]


def _watch(line: socket.socket, child: subprocess.Popen[bytes]) -> None:
    """Tell what the plugin uses until it ends, which is told too, or until the agent is gone."""
    ended = os.pidfd_open(child.pid)
    look = 0
    while True:
        _say(line, _used(stored=look % STORED_LOOKS == 0))
        look += 1
        ready, _, _ = select.select([line.fileno(), ended], [], [], LOOK_S)
        if line.fileno() in ready:  # the agent says nothing more: this is its end
            return
        if ended in ready:
            _say(line, {"ended": child.wait()})
            return


def _used(*, stored: bool) -> dict[str, int]:
    """Give what all processes of this user but this one use, and what lies in its state."""
    mine, user = os.getpid(), os.getuid()
    memory = tasks = nameless = 0
    for entry in os.scandir(watch.PROC):
        if entry.name.isdigit() and int(entry.name) != mine:
            with suppress(OSError):
                if entry.stat().st_uid == user:
                    one = watch.usage(int(entry.name), 1)
                    memory, tasks = memory + one.memory_bytes, tasks + one.tasks
                    nameless += watch.nameless(int(entry.name), 1)
    out = {"memory": memory, "tasks": tasks, "nameless": nameless}
    if stored:
        found = watch.stored(Path(os.environ["STATE_DIRECTORY"]), watch.MOST_FILES)
        out |= {"bytes": found.size_bytes, "files": found.files}
    return out


def _say(line: socket.socket, words: dict[str, Any]) -> None:
    line.sendall(json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
