"""Tell the cancellation of a task from one that a library made of something else.

Owns that one question. Must not know who asks. A task that ends by a cancellation that nobody asked
for is missed by nobody: a task group takes it for an orderly end. grpc.aio tells a reader of a
closed call so, and asyncua (by wait_for2, where a result meets a cancellation) raises a subclass,
which `asyncio.timeout` of Python 3.11 and 3.12 does not take for its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
T = TypeVar("T")


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
