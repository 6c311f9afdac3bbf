"""Listens to a driver as a session does: takes a batch, then asks for the next."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from forebay.interfaces import StreamedDriver
    from forebay.model import Sample, Schema

WAIT_S = 20.0


class Listener:
    """Runs `driver.stream` in a task; `samples` holds what came, in order."""

    def __init__(self, driver: StreamedDriver, periods: Mapping[Schema, float]) -> None:
        self.samples: list[Sample] = []
        self.open = asyncio.Event()
        self.open.set()
        self._driver, self._periods = driver, periods
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run(), name="test.listener")

    async def _run(self) -> None:
        async for batch in self._driver.stream(self._periods):
            async with self._news:
                self.samples.extend(batch.iter_samples())
                self._news.notify_all()
            await self.open.wait()

    async def until(self, enough: Callable[[list[Sample]], object]) -> None:
        """Wait until the samples are enough; fail with the stream's own error if it ends first."""

        async def wait() -> None:
            async with self._news:
                await self._news.wait_for(lambda: enough(self.samples))

        waiting = asyncio.create_task(wait(), name="test.wait")
        done, _ = await asyncio.wait(
            {waiting, self.task}, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if waiting not in done:
            if self.task in done:
                self.task.result()
            raise AssertionError(f"after {WAIT_S} s only: {self.samples}")

    def values(self, name: str) -> list[object]:
        """The values of one tag, in order of arrival."""
        return [sample.value for sample in self.samples if sample.tag.name == name]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task


def other_tasks() -> list[str]:
    """The names of all tasks but the asking one: what a closed driver left behind."""
    return [
        f"{task.get_name()} {task.get_coro()}"
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and not task.done()
    ]
