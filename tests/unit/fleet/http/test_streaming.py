"""A client that takes nothing more: its answer ends, and what made it is let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from forebay_fleet.http import streaming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


async def test_an_answer_that_nobody_takes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.2)
    ended = asyncio.Event()
    taken: list[bytes] = []

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"part"
        finally:
            ended.set()

    async def send(message: Any) -> None:
        if len(taken) == 3:
            await asyncio.Event().wait()  # a line that is full
        taken.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        await streaming.Streamed(parts())({"type": "http"}, receive, send)
        await ended.wait()
    assert taken == [b"", b"part", b"part"]
