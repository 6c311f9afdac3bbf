"""Tell the cancellation of a task from one that a library made of something else.

Owns that question, and the end of a task whose libraries lose cancellations. Must not know who
asks. A task that ends by a cancellation that nobody asked for is missed by nobody: a task group
takes it for an orderly end. grpc.aio tells a reader of a closed call so, and asyncua (by wait_for2,
where a result meets a cancellation) raises a subclass, which `asyncio.timeout` of Python 3.11 and
3.12 does not take for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


AGAIN_S = 1.0
"""After so long a task that was cancelled and goes on is cancelled again."""


class StrayCancellation(RuntimeError):
    """What was awaited ended cancelled, and nobody had cancelled who awaited it."""


async def strict(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await `call(*args, **kwargs)`, which runs code that is not ours.

    If this task is being cancelled, by anyone, that ends exactly as CancelledError. Raises
    StrayCancellation if the call ends cancelled and this task is not.
    """
    try:
        return await call(*args, **kwargs)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise StrayCancellation("cancelled by nobody who may: a library gave up") from error


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel every task, and wait until all have ended, however they do.

    Again and again: `asyncio.wait_for` of Python 3.11 loses a cancellation that meets a result
    (cpython#86296, mended in 3.12), aiomqtt and asyncua call it, and their caller goes on as if
    nobody had asked.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)


async def through(work: Coroutine[object, object, T], name: str) -> T:
    """Do `work`, which must not be left half done: who is cancelled meanwhile waits for its end."""
    task = asyncio.create_task(work, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # asked again: see `end`
                await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # nobody is there to be told
        raise
