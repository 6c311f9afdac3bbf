"""Results on their way into the journal: in pieces of whole windows, each once over a kill."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay.testing.disk import FaultyDisk
from support.plugin_feed import answer, column, instance, pump, world

if TYPE_CHECKING:
    from forebay.model import Batch
    from forebay.pluginhost.seams import OutputColumn, Window

EACH = 3
"""Samples of each window."""
WINDOWS = 40


def several(window: Window) -> list[OutputColumn]:
    """Give samples that tell their window, at times of their own."""
    values = window.number + np.arange(EACH) / 10
    return [column(0, values, window.begin_ns + np.arange(EACH))]


@pytest.mark.parametrize("stands", [1, 2, 5])
async def test_a_kill_between_two_pieces_of_a_work_leaves_whole_windows_and_nothing_twice(
    stands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.pluginhost.giving.CHUNK_BYTES", 300)
    disk = FaultyDisk()
    of = instance(plugin={"batch": WINDOWS})
    async with world(disk, kill=True) as here:
        await here.accept([pump(0, rows=WINDOWS)])
        await here.pipeline.settled()
        feed = here.feed(of)
        work = await feed.next()
        assert len(work.windows) == WINDOWS
        accept, pieces, stopped = here.pipeline.accept, 0, asyncio.Event()

        async def stopping(batch: Batch) -> None:
            nonlocal pieces
            if pieces == stands:
                stopped.set()
                await asyncio.Event().wait()
            pieces += 1
            await accept(batch)

        monkeypatch.setattr(here.pipeline, "accept", stopping)
        giving = asyncio.create_task(feed.done(work, answer(work, several)), name="done")
        async with asyncio.timeout(20):
            await stopped.wait()
        there = await here.results()
        assert 0 < len(there) < WINDOWS * EACH
        assert len(there) % EACH == 0, "no window is cut in two"
        giving.cancel()
        await asyncio.wait([giving])
    async with world(disk) as here:
        feed = here.feed(of)
        async with asyncio.timeout(20):
            work = await feed.next()
        assert work.windows.first == len(there) // EACH, "what stands is not worked on again"
        await feed.done(work, answer(work, several))
        values = [round(value, 1) for _, _, value, _ in await here.results()]
        assert values == [round(n + k / 10, 1) for n in range(WINDOWS) for k in range(EACH)]
