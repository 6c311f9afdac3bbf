"""One process of a plugin, from its start to the end of all that it started.

Owns the subprocess, the kill of its whole tree, and what is told of how it ended. Must not know the
protocol, or why it is started or ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from forebay.cancellation import strict
from forebay.errors import PluginUnavailable
from forebay.pluginhost import watch
from forebay.pluginhost.stored import too_full
from forebay.pluginhost.syscalls import FILTER, refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.pluginhost.logs import PluginLog
    from forebay.pluginhost.manifest import Limits

KILL_S = 10.0
"""The longest wait for killed processes to be gone: one may be held by a disk that hangs."""
LOOK_S = 0.02
LAST_WORDS_S = 1.0
_STREAM_BYTES = 1 << 16
_SIGNALLED = 128  # what a shell, and bubblewrap, add to a signal's number


class Exit(NamedTuple):
    """How a process ended: `kind` in a word for counting, `words` for people."""

    kind: str
    words: str


class Pipe(NamedTuple):
    """What a process prints. A pipe of our own, so that it can be closed with bytes left in it."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport


class Process:
    """A started process. Made by `start`; `kill` must be called once, however it ended."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        mark: str,
        pipe: Pipe,
        log: PluginLog,
        clock: Clock,
    ) -> None:
        """Take over `process` and what it prints into `pipe`.

        `mark` is a text in its environment that no other process has.
        """
        self._process, self._mark, self._pipe = process, mark, pipe
        self._log, self._clock = log, clock
        self._drinking = asyncio.create_task(
            log.drink(pipe.reader, str(process.pid)), name=f"plugin-log[{process.pid}]"
        )

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        mark: str,
        log: PluginLog,
        clock: Clock,
    ) -> Self:
        """Start `command` in a session of its own, with this environment and nothing else of ours.

        Raises PluginUnavailable if there is no such program, or no process can be made.
        """
        try:
            pipe, end = await make_pipe()
            held = _filter() if FILTER in command else None
            try:
                process = await asyncio.create_subprocess_exec(
                    *(str(held) if word == FILTER else word for word in command),
                    stdin=DEVNULL,
                    stdout=end,
                    stderr=STDOUT,
                    env=dict(environment),
                    cwd=directory,
                    start_new_session=True,
                    pass_fds=() if held is None else (held,),
                )
            except BaseException:
                pipe.transport.close()
                raise
            finally:
                os.close(end)
                if held is not None:
                    os.close(held)
        except OSError as error:
            raise PluginUnavailable(
                f"could not be started: {error.strerror or error}",
                hint="check its command in plugin.toml, and that its directory is there",
                kind="start",
            ) from None
        return cls(process, mark, pipe, log, clock)

    @property
    def pid(self) -> int:
        """Process id of the outermost process."""
        return self._process.pid

    async def wait(self) -> Exit:
        """Wait until the process has ended and what it printed is taken over; say how it ended."""
        await strict(self._process.wait)
        # A child that it left behind may hold the pipe.
        await asyncio.wait([self._drinking], timeout=LAST_WORDS_S)
        last = next((line for line in reversed(self._log.tail(3)) if f" {self.pid} " in line), "")
        _, _, said = last.partition(f" {self.pid} ")
        return described(self._process.returncode or 0, said)

    def usage(self, most: int) -> watch.Usage:
        """Give what it and all below it use, of at most `most` processes."""
        return watch.usage(self.pid, most)

    async def nameless(self, most: int) -> int:
        """Give the bytes of files without a name that at most `most` of them hold."""
        return await asyncio.to_thread(watch.nameless, self.pid, most)

    async def too_full(self, directory: Path, limits: Limits) -> PluginUnavailable | None:
        """Give what is wrong with what it keeps in `directory`; None if nothing is."""
        return await asyncio.to_thread(too_full, directory, limits)

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)

    async def kill(self) -> None:
        """End it and everything that it started, and return when they are gone."""
        until_s = self._clock.monotonic_s() + KILL_S
        struck: set[int] = set()
        while self._clock.monotonic_s() < until_s:
            struck |= self._strike()
            if self._process.returncode is not None and not any(map(watch.lives, struck)):
                break
            await self._clock.sleep(LOOK_S)
        self._drinking.cancel()
        await asyncio.gather(self._drinking, return_exceptions=True)
        self._pipe.transport.close()

    def _strike(self) -> set[int]:
        """Kill what is there; give which processes that were."""
        found = set(watch.marked(self._mark, watch.MOST_PROCESSES))
        if self._process.returncode is None:
            found |= set(watch.tree(self.pid, watch.MOST_PROCESSES))
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return found


def _filter() -> int:
    """Give a descriptor that the filter can be read from."""
    out = os.memfd_create("filter")
    os.write(out, refused())
    os.lseek(out, 0, os.SEEK_SET)
    return out


async def make_pipe() -> tuple[Pipe, int]:
    """Make a pipe; give our end, and the descriptor that a process is to write to."""
    loop = asyncio.get_running_loop()
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader(_STREAM_BYTES)
    try:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader),
            open(ours, "rb", buffering=0),  # noqa: ASYNC230, PTH123, SIM115 - a pipe
        )
    except BaseException:
        os.close(theirs)
        raise
    return Pipe(reader, transport), theirs


def described(status: int, said: str) -> Exit:
    """Say how a process ended that gave `status` and printed `said` last.

    A negative status, or one above 128, is a signal's number.
    """
    number = -status if status < 0 else status - _SIGNALLED
    behind = f": {said[:300]}" if said else ""
    if number > 0:
        name = _signal_name(number)
        if number == signal.SIGKILL:
            by = "by the kernel for want of memory, or by hand"
            return Exit("killed", f"was killed ({name}): {by}")
        return Exit("killed", f"ended by {name}{behind}")
    if "MemoryError" in said or "bad_alloc" in said or "Cannot allocate memory" in said:
        return Exit("memory", f"ended with status {status} for want of memory{behind}")
    return Exit("exit", f"ended with status {status}{behind}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
