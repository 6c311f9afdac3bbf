"""A pause that news end.

Owns only that. Must not know what the news are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.cancellation import end

if TYPE_CHECKING:
    from forebay.clock import Clock


async def pause(news: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait that long, or until `news` is set."""
    waits = (
        asyncio.create_task(_told(news), name="pause.news"),
        asyncio.create_task(clock.sleep(seconds), name="pause.over"),
    )
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(waits)


async def _told(news: asyncio.Event) -> None:
    await news.wait()
