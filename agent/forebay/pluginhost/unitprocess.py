"""One process of a plugin in a unit of systemd, from its start to the end of the unit.

Owns the line to the `launcher` in the unit, and what is told of how it ended. Does for a unit what
`process.Process` does for a subprocess. Must not know the protocol, or why it is started or ended.

Who calls at the line must be the main process of the unit: the kernel says who calls, and systemd
who that is. Only then it is told the command, and the token.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import PluginUnavailable
from forebay.pluginhost import units
from forebay.pluginhost.process import LAST_WORDS_S, Exit, Pipe, described, make_pipe
from forebay.pluginhost.sandbox import Cell, readable
from forebay.pluginhost.stored import judged
from forebay.pluginhost.watch import Stored, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.pluginhost.logs import PluginLog
    from forebay.pluginhost.manifest import Limits
    from forebay.pluginhost.settings import Instance

LAUNCH_S = 20.0
SILENCE_S, SILENCES = 10.0, 3
"""A launcher that says nothing for so long, so many times on end, was stopped by its plugin."""
WORD_BYTES = 4096
SOCKET = "launch.sock"
_PEER = struct.Struct("3i")  # struct ucred, unix(7)


def prepare(instance: Instance, home: Path) -> Cell:
    """Make the directories of a process; PluginUnavailable if that cannot be. Blocks."""
    try:
        home.mkdir(exist_ok=True)
        home.chmod(0o711)
        sockets = Path(tempfile.mkdtemp(prefix="", dir=home))
        sockets.chmod(0o711)
        for path in (instance.directory, instance.model):
            if path is not None:
                units.let_read(path)
    except OSError as error:
        raise PluginUnavailable(
            f"its directories cannot be made ready: {error.filename}: {error.strerror}",
            hint="let the agent's user write there",
            kind="start",
        ) from None
    return Cell(
        directory=instance.directory,
        socket_directory=sockets,
        state_directory=units.STATE / units.instance_of(instance.name),
        readable=readable(instance.command(), instance.directory),
        model=instance.model,
    )


class UnitProcess:
    """A started unit. Made by `start`; `kill` must be called once, however it ended."""

    def __init__(self, unit: str, pid: int, pipe: Pipe, log: PluginLog) -> None:
        """Take over what the process `pid` of `unit` prints into `pipe`."""
        self.pid = pid
        """Process id of the launcher."""
        self._unit, self._pipe, self._log = unit, pipe, log
        self._drinking = asyncio.create_task(
            log.drink(pipe.reader, str(pid)), name=f"plugin-log[{unit}]"
        )
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._usage, self._nameless, self._stored = Usage(0, 0), 0, Stored(0, 0)

    @classmethod
    async def start(
        cls,
        unit: str,
        home: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        limits: Limits,
        log: PluginLog,
    ) -> UnitProcess:
        """Start `unit`, and `command` in it with this environment, held to `limits`.

        Raises PluginUnavailable if systemd does not let us, or nobody calls from the unit.
        """
        place = home / unit.removesuffix(".service")
        await asyncio.to_thread(_make, place)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(os.fspath(place / SOCKET))
            (place / SOCKET).chmod(0o666)  # who calls is looked at
            listener.listen(8)
            listener.setblocking(False)  # noqa: FBT003 - socket's own
            try:
                await units.systemctl("set-property", "--runtime", unit, *units.properties(limits))
                await units.systemctl("restart", unit)
                pid = int(await units.systemctl("show", "--property=MainPID", "--value", unit))
                line = await _called_by(pid, listener)
            except BaseException:
                await _end(unit)
                raise
            finally:
                await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        pipe, end = await make_pipe()
        process = cls(unit, pid, pipe, log)
        try:
            request = {
                "command": list(command),
                "environment": dict(environment),
                "files": limits.files,
                "file_size": limits.file_size,
            }
            await process._ask(line, request, end)
        except BaseException:
            await asyncio.shield(process.kill())
            raise
        finally:
            os.close(end)
        return process

    async def wait(self) -> Exit:
        """Wait until the plugin has ended and what it printed is taken over; say how it ended."""
        word = await self._last_word()
        await asyncio.wait([self._drinking], timeout=LAST_WORDS_S)
        last = next(iter(reversed(self._log.tail(1))), "")
        _, mine, said = last.partition(f" {self.pid} ")
        if "ended" in word:
            return described(_whole(word, "ended"), said if mine else "")
        if "unstartable" in word:
            return Exit("start", f"could not be started: {str(word['unstartable'])[:200]}")
        if "silent" in word:
            return Exit("silent", "let its launcher say nothing any more")
        result = ""
        with suppress(PluginUnavailable):
            result = await units.systemctl("show", "--property=Result", "--value", self._unit)
        if result == "oom-kill":
            return Exit("memory", "was ended by the kernel: its unit took more than MemoryMax")
        return Exit("killed", f"ended with its unit ({result or 'nothing is known of it'})")

    def usage(self, most: int) -> Usage:
        """Give what it and all beside it in the unit used half a second ago."""
        del most  # the launcher counts, and TasksMax limits, all
        return self._usage

    async def nameless(self, most: int) -> int:
        """Give the bytes of files without a name that it holds."""
        del most
        return self._nameless

    async def too_full(self, directory: Path, limits: Limits) -> PluginUnavailable | None:
        """Give what is wrong with what it keeps in `directory`; None if nothing is."""
        return judged(self._stored, directory, limits)

    async def kill(self) -> None:
        """End the unit, and return when all in it is gone."""
        if self._writer is not None:
            self._writer.close()
        await _end(self._unit)
        self._drinking.cancel()
        await asyncio.gather(self._drinking, return_exceptions=True)
        self._pipe.transport.close()

    async def _ask(self, line: socket.socket, request: Mapping[str, Any], output: int) -> None:
        """Say what is to be run."""
        data = json.dumps(request).encode() + b"\n"
        try:
            sent = socket.send_fds(line, [data], [output])
            self._reader, self._writer = await asyncio.open_unix_connection(
                sock=line, limit=WORD_BYTES
            )
            self._writer.write(data[sent:])
            await self._writer.drain()
        except OSError as error:
            line.close()
            raise _uncalled(f"its launcher ended at once: {error.strerror}") from None

    async def _last_word(self) -> dict[str, Any]:
        """Take in what the launcher reports, until it says something else or nothing more."""
        assert self._reader is not None
        silences = 0
        while silences < SILENCES:
            try:
                async with asyncio.timeout(SILENCE_S):
                    line = await self._reader.readline()
                word = json.loads(line)
                if "memory" not in word:
                    return dict(word)
                self._usage = Usage(_whole(word, "memory"), _whole(word, "tasks"))
                self._nameless = _whole(word, "nameless")
                if "bytes" in word:
                    self._stored = Stored(_whole(word, "bytes"), _whole(word, "files"))
                silences = 0
            except TimeoutError:
                silences += 1
            except (OSError, ValueError, KeyError, TypeError):
                return {}
        return {"silent": True}


def _whole(word: Mapping[str, Any], key: str) -> int:
    return int(word[key])


def _make(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.mkdir()
        place.chmod(0o711)
    except OSError as error:
        raise _uncalled(f"its directory cannot be made: {error.strerror}") from None


async def _called_by(pid: int, listener: socket.socket) -> socket.socket:
    """Wait for the call of process `pid`; whoever else calls is sent away."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LAUNCH_S):
            while True:
                line, _ = await loop.sock_accept(listener)
                peer = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                if _PEER.unpack(peer)[0] == pid:
                    return line
                line.close()
    except TimeoutError:
        raise _uncalled(f"its launcher did not call within {LAUNCH_S:g} s") from None


async def _end(unit: str) -> None:
    with suppress(PluginUnavailable):  # its line is closed: the launcher ends by itself
        await units.systemctl("stop", unit)


def _uncalled(what: str) -> PluginUnavailable:
    return PluginUnavailable(what, hint="see `journalctl -u 'forebay-plugin*'`", kind="start")
