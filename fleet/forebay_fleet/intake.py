"""Where a session's records go, and what answers for them: the seam between sessions and stores.

Owns the protocol, and the way of one process: its own writer. `stream` has the other way, for many
processes. Must not know gRPC.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from forebay_fleet.committer import Committer
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.store.writer import StoreWriter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from contextlib import AsyncExitStack
    from pathlib import Path

    from forebay_fleet._proto import uplink_pb2
    from forebay_fleet.limits import Limits


class Taker(Protocol):
    """Takes the records of one session. `gateway` is the store's number for who sends them."""

    gateway: int

    async def take(
        self, records: Sequence[uplink_pb2.Record], size: int, *, twin: bool
    ) -> asyncio.Future[list[uplink_pb2.Ack]]:
        """Wait for room for `size` bytes, and have `records` made durable.

        `twin`: the session has found that two boxes are one gateway. The futures end in the order
        of calls; they raise SessionEnded, or StoreFailed.
        """

    async def close(self) -> None:
        """The session has ended."""


class Intake(Protocol):
    """What all sessions of a server share."""

    async def greet(self, hello: uplink_pb2.Hello) -> tuple[Taker, uplink_pb2.Welcome]:
        """Begin a session. Raises SessionEnded, StoreFailed."""


async def open_store(stack: AsyncExitStack, data: Path, limits: Limits) -> DirectIntake:
    """Own the store of a data directory until the stack unwinds. Raises as `StoreWriter`."""
    store = stack.enter_context(StoreWriter(data))
    committer = Committer(store, limits.commit_bytes, limits.memory_bytes)
    await stack.enter_async_context(committer)
    return DirectIntake(Ingest(store, limits, time.time_ns), committer, store.incarnation)


class DirectIntake:
    """The store is this process's own."""

    def __init__(self, ingest: Ingest, committer: Committer, incarnation: str = "") -> None:
        """Have `ingest` decide in the transactions of `committer`."""
        self.ingest, self.committer, self.incarnation = ingest, committer, incarnation

    async def greet(self, hello: uplink_pb2.Hello) -> tuple[Taker, uplink_pb2.Welcome]:
        """See `Intake`."""

        def apply() -> Callable[[], tuple[int, uplink_pb2.Welcome]]:
            greeting = self.ingest.greet(hello)
            return lambda: greeting

        greeted = await self.committer.submit(apply, hello.ByteSize())
        gateway, welcome = await greeted
        return _DirectTaker(self.ingest, self.committer, gateway), welcome


class _DirectTaker:
    """See `Taker`."""

    def __init__(self, ingest: Ingest, committer: Committer, gateway: int) -> None:
        """Take for `gateway`."""
        self._ingest, self._committer, self.gateway = ingest, committer, gateway
        self._ended: SessionEnded | None = None

    async def take(
        self, records: Sequence[uplink_pb2.Record], size: int, *, twin: bool
    ) -> asyncio.Future[list[uplink_pb2.Ack]]:
        """See `Taker`."""

        def apply() -> Callable[[], list[uplink_pb2.Ack]]:
            """Nothing of a session is taken after what ended it."""
            if self._ended is not None:
                raise self._ended
            if twin:
                self._ingest.note_twin(self.gateway)
            try:
                return self._ingest.take(self.gateway, records)
            except SessionEnded as ended:
                self._ended = ended
                raise

        return await self._committer.submit(apply, size)

    async def close(self) -> None:
        """See `Taker`: what was submitted is committed all the same."""
