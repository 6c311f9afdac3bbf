"""What shares the stream of a box: each part hears what is for it, and says its own.

Owns the shape. Who carries the messages is `desired.link`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from forebay_fleet._proto import fleet_pb2


class Part(Protocol):
    """One part of one stream."""

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """Keep what the box says. Raises StoreFailed."""
        ...

    async def answer(self, answer: fleet_pb2.ServerToAgent) -> bool:
        """Add what is to be said now; whether there is more, for the next. Raises StoreFailed."""
        ...


Make = Callable[[str], Part]
"""Gives the part of a stream that has just begun, by the gateway's id."""
