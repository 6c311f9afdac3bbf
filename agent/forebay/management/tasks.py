"""How parts that come and go get their tasks, and give them up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable

Start = Callable[[str, Coroutine[object, object, None]], "asyncio.Task[None]"]
"""Makes a task of this name, in the agent's TaskGroup."""


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel `tasks`, and wait until they have ended."""
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
