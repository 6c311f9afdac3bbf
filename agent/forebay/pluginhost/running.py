"""One started plugin: its process, the line to it, its directories, and what watches over it.

Owns their order at start and end, and the reasons for which a process is ended. Must not know what
is worked on, or what comes after.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from forebay._proto import batch_pb2
from forebay._proto import plugin_pb2 as pb
from forebay.errors import PluginError, PluginUnavailable
from forebay.pluginhost import sandbox, unitprocess, units
from forebay.pluginhost.cells import prepare
from forebay.pluginhost.channel import MESSAGE_BYTES, Channel, Facts, overdue
from forebay.pluginhost.process import Process
from forebay.pluginhost.seams import OutputKind
from forebay.pluginhost.stored import too_full
from forebay.pluginhost.unitprocess import UnitProcess
from forebay.pluginhost.watch import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Clock
    from forebay.pluginhost.logs import PluginLog
    from forebay.pluginhost.sandbox import Cell, Means
    from forebay.pluginhost.seams import Feed, Input
    from forebay.pluginhost.settings import Instance

Held = Process | UnitProcess
LOOK_S = 0.2
STORED_LOOKS = 5
"""The disk is looked at once in so many looks."""
LAST_S = 2.0
STOP_S = 5.0
"""The longest wait for a plugin to end that was asked to."""
_KINDS = {
    OutputKind.TAG: pb.OUTPUT_TAG,
    OutputKind.EVENT: pb.OUTPUT_EVENT,
    OutputKind.BLOB: pb.OUTPUT_BLOB,
    OutputKind.WRITE: pb.OUTPUT_WRITE,
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What every process of one instance stands on."""

    means: Means
    state_directory: Path
    log: PluginLog
    clock: Clock
    beside: bool = False
    """Whether another process of the instance runs, at a swap."""


class Running:
    """A plugin that is ready for work. Made by `start`; ended by `stop` or `kill`, once."""

    def __init__(
        self, instance: Instance, ground: Ground, process: Held, channel: Channel, cell: Cell
    ) -> None:
        """Watch over what was started."""
        self.instance, self.channel = instance, channel
        self.inputs: tuple[Input, ...] = ()
        self.facts = Facts("", "", {})
        self.usage = Usage(0, 0)
        self._ground, self._process, self._cell = ground, process, cell
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[PluginError] = loop.create_future()
        name = instance.name
        self._watching = (
            asyncio.create_task(self._see_exit(), name=f"plugin-exit[{name}]"),
            asyncio.create_task(self._see_limits(), name=f"plugin-limits[{name}]"),
            asyncio.create_task(self._see_stored(), name=f"plugin-stored[{name}]"),
        )

    @classmethod
    async def start(
        cls, instance: Instance, ground: Ground, inputs: Sequence[Input], *, replay: bool = False
    ) -> Running:
        """Start the plugin and return when it is ready; PluginError, with nothing left, if not.

        `replay` tells it that its results go nowhere.
        """
        cell = await asyncio.to_thread(_prepare, instance, ground)
        token = secrets.token_urlsafe(32)
        limits = instance.limits
        if full := await asyncio.to_thread(too_full, cell.state_directory, limits):
            await asyncio.to_thread(shutil.rmtree, cell.socket_directory, ignore_errors=True)
            raise full
        socket = cell.socket_directory / sandbox.SOCKET
        channel = Channel(socket, token, instance.outputs, limits.deadline, ground.clock)
        running: Running | None = None
        try:
            await channel.open()
            socket.chmod(0o666)  # its directory lets nobody else in
            process = await _process(instance, ground, cell, token)
            running = cls(instance, ground, process, channel, cell)
            running.inputs = tuple(inputs)
            message = setup(instance, inputs, cell.state_directory)
            message.replay = replay
            running.facts = await running._handshake(message)
        except BaseException:
            if running is not None:
                await asyncio.shield(running.kill())
            else:
                await channel.close()
                await asyncio.to_thread(shutil.rmtree, cell.socket_directory, ignore_errors=True)
            raise
        return running

    @property
    def beside(self) -> bool:
        """Whether it was started beside another process of the instance."""
        return self._ground.beside

    @property
    def pid(self) -> int:
        """Process id of the outermost process."""
        return self._process.pid

    async def stop(self, reason: str) -> None:
        """Ask it to end, and end it if it does not."""
        with suppress(PluginError):
            await self.channel.stop(reason)
        await asyncio.wait([self._watching[0]], timeout=STOP_S)
        await self.kill()

    async def kill(self) -> None:
        """End it, with all that it started, and let go of its directories but for the state."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._process.kill()
        await self.channel.close()
        await asyncio.to_thread(shutil.rmtree, self._cell.socket_directory, ignore_errors=True)

    async def _handshake(self, message: pb.Setup) -> Facts:
        """Wait until it is ready; raise why it is not."""
        limit_s = self.instance.limits.start_timeout
        ready = asyncio.create_task(
            self.channel.handshake(message), name=f"plugin-handshake[{self.instance.name}]"
        )
        try:
            ends: list[asyncio.Future[object]] = [ready, self.lost]  # type: ignore[list-item]
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not self.lost.done() and ready.exception() is None:
                return ready.result()
            if self.lost.done():
                raise self.lost.result()
            if not ready.done():
                raise _not_ready(limit_s)
            await asyncio.wait([self.lost], timeout=2 * LAST_S)
            if self.lost.done():
                raise self.lost.result()
            return ready.result()
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)

    async def _see_exit(self) -> None:
        """Tell that the process has ended, and how."""
        ended = await self._process.wait()
        self._lose(
            PluginUnavailable(
                f"its process {ended.words}",
                hint=f"see `forebay plugins logs {self.instance.name}`",
                kind=ended.kind,
            )
        )

    async def _see_limits(self) -> None:
        """Tell that the line ended, that work is overdue, or that it takes more than it may."""
        clock, channel, limits = self._ground.clock, self.channel, self.instance.limits
        most = limits.processes + 8  # what confines it are processes, too
        late_s = 0.0
        while not self.lost.done():
            await asyncio.wait([channel.lost], timeout=LOOK_S)
            if channel.lost.done():
                error = channel.lost.result()
                if error.kind == "exit":
                    # How the process ends, now, is more telling than that its line did.
                    await asyncio.wait([self._watching[0]], timeout=LAST_S)
                self._lose(error)
            elif channel.overdue_s < clock.monotonic_s():
                # Looked at twice: after a standstill of ours the results may be there, unread.
                if late_s == channel.overdue_s:
                    self._lose(overdue(limits.deadline, "gave no results"))
                late_s = channel.overdue_s
            else:
                self.usage = self._process.usage(2 * most)
                self._judge(self.usage, most)

    async def _see_stored(self) -> None:
        """Tell that it keeps more on the disk, or in files without a name, than it may."""
        limits, most = self.instance.limits, 2 * self.instance.limits.processes
        for look in itertools.count():
            if self.lost.done():
                return
            if look % STORED_LOOKS == 0:
                full = await self._process.too_full(self._cell.state_directory, limits)
                if full is not None:
                    self._lose(full)
            held = await self._process.nameless(most)
            self._judge(Usage(held, 0), most)
            await asyncio.wait([self.lost], timeout=LOOK_S)

    def _judge(self, usage: Usage, most: int) -> None:
        limits = self.instance.limits
        if usage.memory_bytes > limits.memory:
            self._lose(
                PluginUnavailable(
                    f"it took {usage.memory_bytes >> 20} MiB of memory, more than "
                    f"{limits.memory >> 20} MiB",
                    hint="if it needs that much, set limits.memory",
                    kind="memory",
                )
            )
        if usage.tasks > most:
            self._lose(
                PluginUnavailable(
                    f"it had {usage.tasks} processes and threads, more than {limits.processes}",
                    hint="if it needs so many, set limits.processes",
                    kind="processes",
                )
            )

    def _lose(self, error: PluginError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


def _prepare(instance: Instance, ground: Ground) -> Cell:
    """Make the directories of a process; PluginUnavailable if that cannot be."""
    if (home := ground.means.units) is not None:
        return unitprocess.prepare(instance, home)
    return prepare(instance, ground.means, ground.state_directory)


async def _process(instance: Instance, ground: Ground, cell: Cell, token: str) -> Held:
    """Start the process in the best way that there is."""
    means, limits, command = ground.means, instance.limits, instance.command()
    environment = sandbox.environment(means, cell, limits, token, os.environ)
    if means.units is not None:
        unit = units.unit_of(instance.name, beside=ground.beside)
        return await UnitProcess.start(unit, means.units, command, environment, limits, ground.log)
    arguments = sandbox.arguments(means, cell, limits, command)
    return await Process.start(arguments, environment, Path("/"), token, ground.log, ground.clock)


@dataclass(frozen=True, slots=True)
class Standby:
    """A version that is ready and waits for the one before it to end; `taken` when it took over."""

    running: Running
    feed: Feed
    following: asyncio.Task[None]
    taken: asyncio.Future[None]


def setup(instance: Instance, inputs: Sequence[Input], state: Path) -> pb.Setup:
    """Give the message that tells a plugin what it is to do."""
    return pb.Setup(
        plugin=instance.name,
        settings_json=json.dumps(dict(instance.settings), default=str),
        inputs=[
            pb.Input(role=one.role, tag=one.tag, type=_type(one.type.name), unit=one.unit)
            for one in inputs
        ],
        outputs=[
            pb.Output(
                name=one.name, kind=_KINDS[one.kind], type=_type(one.type.name), unit=one.unit
            )
            for one in instance.outputs
        ],
        deadline_ms=round(instance.limits.deadline * 1000),
        max_message_bytes=MESSAGE_BYTES,
        state_directory=str(state),
        model_directory=str(instance.model or ""),
    )


def _type(name: str) -> batch_pb2.ValueType:
    return cast("batch_pb2.ValueType", batch_pb2.ValueType.Value(name))


def _not_ready(limit_s: float) -> PluginUnavailable:
    return PluginUnavailable(
        f"was not ready within {limit_s:g} s of its start",
        hint="see `forebay plugins logs`; if it only needs longer, set limits.start_timeout",
        kind="start",
    )
