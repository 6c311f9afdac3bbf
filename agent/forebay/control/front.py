"""Takes the connections of the control socket, and knows which user each of them is.

Owns what stands between a person's connection and the server of questions: gRPC does not tell who
a peer is. Each connection is passed on, byte for byte, by one whose own address holds the user id
that the kernel gives of its other end (unix(7), SO_PEERCRED). Must not know what is asked.

Every descriptor here belongs to one socket object and no transport: two owners would close it
twice, and the second time it would be somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

MAX_CONNECTIONS = 64
"""Connections at once; those beyond wait until one ends."""
UNKNOWN = "control socket"
"""Who asked, where no connection of ours says it."""
_BACKLOG = 128
_CHUNK_BYTES = 64 << 10
_LEAVE_S = 1.0
_RETRY_S = 1.0
_CREDENTIALS = struct.Struct("iII")  # process, user, group


class Front:
    """Passes connections on to a socket that nobody else can reach, for as long as it is entered.

    Leaving waits a moment for what its server said last, then closes every connection.
    """

    def __init__(self) -> None:
        """Listen nowhere yet."""
        self._token = secrets.token_hex(8)
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._inner = -1
        self._ear: socket.socket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Do nothing until `listen`."""
        return self

    def listen(self, path: Path, inner: Path) -> None:
        """Take connections at the new socket `path` for the one that listens at `inner`.

        `inner` stays within reach of this process alone once it is unlinked. OSError if either
        cannot be.
        """
        self._inner = os.open(inner, os.O_PATH | os.O_CLOEXEC)
        self._ear = ear = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ear.settimeout(0)
        ear.bind(os.fspath(path))
        ear.listen(_BACKLOG)
        self._listening = asyncio.create_task(self._listen(ear), name="front")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more, and end all that there are, those last that are still told something."""
        if self._listening is not None:
            await _ended({self._listening})
        if self._talks:
            await asyncio.wait(self._talks, timeout=_LEAVE_S)
        await _ended(self._talks)
        if self._ear is not None:
            self._ear.close()
        if self._inner >= 0:
            os.close(self._inner)
            self._inner = -1

    def who(self, peer: str) -> str:
        """Say who is at the other end of what gRPC calls `peer`: `uid:NUMBER`, or UNKNOWN."""
        told = re.fullmatch(rf"unix-abstract:{self._token}-\d+-uid-(\d+)", peer)
        return UNKNOWN if told is None else f"uid:{int(told[1])}"

    async def _listen(self, ear: socket.socket) -> None:
        loop, number = asyncio.get_running_loop(), 0
        while True:
            await self._room.acquire()
            try:
                near, _ = await loop.sock_accept(ear)
            except OSError:  # no descriptor is left, or it hung up: later there may be one
                self._room.release()
                await asyncio.sleep(_RETRY_S)
                continue
            number += 1
            talk = asyncio.create_task(self._pass_on(near, number), name=f"front[{number}]")
            self._talks.add(talk)
            talk.add_done_callback(self._end)

    def _end(self, talk: asyncio.Task[None]) -> None:
        self._talks.discard(talk)
        self._room.release()

    async def _pass_on(self, near: socket.socket, number: int) -> None:
        """Say on either side what is heard on the other, until one hangs up."""
        # Of who hung up already, or where the server is too busy: whoever asks, asks again.
        with (
            contextlib.suppress(OSError),
            near,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as far,
        ):
            near.settimeout(0)
            far.settimeout(0)
            far.bind(f"\0{self._token}-{number}-uid-{_user(near)}")
            far.connect(f"/proc/self/fd/{self._inner}")
            ways = {
                asyncio.create_task(_copy(near, far), name=f"front[{number}] in"),
                asyncio.create_task(_copy(far, near), name=f"front[{number}] out"),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _ended(ways)  # before the sockets are closed


async def _copy(heard: socket.socket, said: socket.socket) -> None:
    """Pass on what one side says until it hangs up, or the other does."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await loop.sock_recv(heard, _CHUNK_BYTES):
            await loop.sock_sendall(said, data)


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel all, and wait until they are gone."""
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _user(near: socket.socket) -> int:
    """Give the user id of the process that connected, as the kernel noted it then."""
    told = near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])
