"""What the ports that offer values share: the threads that read, and how much goes on at once.

Owns that it is one for all of them. Must not know any port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.errors import UsageError
from forebay_fleet.values.following import Lives
from forebay_fleet.values.reading import Readers

if TYPE_CHECKING:
    import asyncio
    from contextlib import AsyncExitStack
    from pathlib import Path

    from forebay_fleet.values.exports import Exports


STALLED_S = 120.0
"""How long a client may take nothing of an answer in parts: it keeps others from their turn."""


class Offer(NamedTuple):
    """Of one server. `files` is None where pyarrow is not installed."""

    readers: Readers
    lives: Lives
    files: Exports | None

    @property
    def exports(self) -> Exports:
        """What makes files. UsageError if nothing can."""
        if self.files is None:
            raise UsageError("pyarrow is not installed", hint="pip install 'forebay[parquet]'")
        return self.files


async def open_offer(stack: AsyncExitStack, data: Path, stopping: asyncio.Event) -> Offer:
    """Read the store of a data directory until the stack unwinds."""
    readers = await stack.enter_async_context(Readers(data))
    try:
        from forebay_fleet.values.exports import Exports
    except ImportError:
        return Offer(readers, Lives(readers, stopping), None)
    return Offer(readers, Lives(readers, stopping), Exports(readers))
