"""An answer in parts of which the first is made before anything is sent, as it may be a refusal.

Must not know what parts are.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")


async def begun(parts: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Give the same parts, the first one made. Whoever lets go of them ends `parts`.

    So does who never asks for one: a generator that began is closed when nobody holds it.

    Raises:
        Exception: what making the first part raises.
    """
    return _behind(await anext(parts), parts)


async def _behind(first: T, parts: AsyncGenerator[T]) -> AsyncGenerator[T]:
    async with aclosing(parts):
        yield first
        async for part in parts:
            if part:
                yield part
