"""What a stream tells its box: the newest state, and commands, each once a stream.

Owns what was said already. Must not know gRPC, nor what a state or a command holds.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from forebay_fleet.desired import commands, states

if TYPE_CHECKING:
    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.registry import RegistryThread

MAX_COMMANDS_BYTES = 1 << 20
"""Of the commands in one answer; with the largest state it is less than a box takes."""


class Stating:
    """The newest state of one gateway: a `parts.Part`."""

    def __init__(self, registry: RegistryThread, gateway: str) -> None:
        """Have said nothing yet."""
        self._registry, self._gateway = registry, gateway
        self._sent = 0

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """See `Part.take`: what became of it is a report."""

    async def answer(self, answer: fleet_pb2.ServerToAgent) -> bool:
        """See `Part.answer`."""
        found = await self._registry(partial(states.newest, gateway=self._gateway))
        if found is not None and found[0] > self._sent:
            self._sent = found[0]
            answer.desired.ParseFromString(found[1])
        return False


class Commanding:
    """The open commands of one gateway, and their results: a `parts.Part`."""

    def __init__(self, registry: RegistryThread, gateway: str) -> None:
        """Have said nothing yet."""
        self._registry, self._gateway = registry, gateway
        self._kept: list[str] = []
        self._asked: set[str] = set()

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """See `Part.take`: results are durable before the box is told that it may forget them."""
        if message.results:
            self._kept += await self._registry(
                partial(commands.note, gateway=self._gateway, results=tuple(message.results))
            )

    async def answer(self, answer: fleet_pb2.ServerToAgent) -> bool:
        """See `Part.answer`: commands that were not sent on this stream yet."""
        kept, self._kept = self._kept, []
        answer.accepted_results.extend(kept)
        waiting = await self._registry(
            partial(commands.pending, gateway=self._gateway, now_ns=time.time_ns())
        )
        fresh = [one for one in waiting if one[0] not in self._asked]
        sizes = accumulate(len(signed) for _, signed in fresh)
        fitting = sum(size <= MAX_COMMANDS_BYTES for size in sizes)
        now = fresh[: min(commands.AT_ONCE, fitting)]
        for id_, signed in now:
            self._asked.add(id_)
            answer.commands.add().ParseFromString(signed)
        self._asked &= {id_ for id_, _ in waiting}
        return len(fresh) > len(now)
