"""Asks for many things in requests of bounded size, and for fewer at once where that was too much.

Owns the cutting. Must not know what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from forebay.drivers.opcua.faults import TOO_MUCH
from forebay.errors import DeviceRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


async def in_chunks(
    items: Sequence[T], size: int, ask: Callable[[Sequence[T]], Awaitable[R]]
) -> tuple[list[tuple[Sequence[T], R | DeviceRefused]], int]:
    """Call `ask` with piece after piece of `items`, and give each with its answer or refusal.

    A piece is at most `size` long. One refused as too much is cut in half and asked for again, down
    to one item. The second result is the size that worked, for the next time. Other DeviceErrors
    pass.
    """
    answers: list[tuple[Sequence[T], R | DeviceRefused]] = []
    start = 0
    while start < len(items):
        piece = items[start : start + size]
        try:
            answers.append((piece, await ask(piece)))
        except DeviceRefused as refusal:
            if refusal.status in TOO_MUCH and len(piece) > 1:
                size = len(piece) // 2
                continue
            answers.append((piece, refusal))
        start += len(piece)
    return answers, size
