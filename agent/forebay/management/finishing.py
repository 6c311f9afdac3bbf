"""Blocking calls that must not go on behind the back of whoever was cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def finished(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call on a thread; a cancellation is passed on once that has ended, and not before."""
    work = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs), name="finished")
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody asks for it any more
        raise
