"""What shares the stream to the fleet server: each part says its own, and hears what is for it.

Owns the shape. Who carries the messages is `management.link`; what a part says is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay._proto import fleet_pb2 as pb
    from forebay.identity import Identity


class Part(Protocol):
    """One part of an agent that its fleet server hears of, or speaks to."""

    news: Callable[[], None]
    """Set by the link; to be called when there is something to say before the next report."""

    @property
    def capabilities(self) -> int:
        """Bits of AgentCapability that the agent has by this part."""
        ...

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """Add to a message what is to be said now; at most once a second, and quickly.

        With `full` the server knows nothing yet: a new stream, or a message of it was lost. What
        was said in one message must be said again in the next only if it has changed.
        """
        ...

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """Do what the server asks of this part. Raises nothing that is the server's fault."""
        ...
