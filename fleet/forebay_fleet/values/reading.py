"""Reading the store from an event loop: a few threads, a connection each.

Owns the threads. Must not know what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from forebay_fleet.errors import StoreError
from forebay_fleet.store.reader import StoreReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

THREADS = 2
MOST_WAITING = 256


class Readers:
    """`async with Readers(data) as readers: await readers(lambda store: store.gateways())`."""

    def __init__(self, directory: Path) -> None:
        """Read the store of a data directory; it must be there by the first question."""
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
        self._own = threading.local()
        self._open: set[StoreReader] = set()
        self._waiting = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what runs, then close."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        with contextlib.ExitStack() as closing:
            for reader in self._open:
                closing.push(reader)

    async def __call__(self, work: Callable[[StoreReader], T]) -> T:
        """Give what `work` gives. If the caller is cancelled, `work` sees it in `StoreReader.gone`.

        Raises:
            StoreError: the store cannot be read, or too many ask at once; and what `work` raises.
        """
        if self._waiting >= MOST_WAITING:
            raise StoreError("too many questions at once", hint="ask again in some seconds")
        self._waiting += 1
        gone, loop = threading.Event(), asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, self._with_own, work, gone)
        asked.add_done_callback(self._answered)
        try:
            return await asked
        except asyncio.CancelledError:
            gone.set()
            raise

    def _answered(self, _: object) -> None:
        self._waiting -= 1

    def _with_own(self, work: Callable[[StoreReader], T], gone: threading.Event) -> T:
        reader: StoreReader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = StoreReader(self._directory)
            self._open.add(reader)
        reader.gone = gone.is_set
        try:
            return work(reader)
        except reader.errors as error:  # the next one gets a connection of its own
            self._own.reader = None
            self._open.discard(reader)
            with contextlib.suppress(*reader.errors), reader:
                pass
            raise reader.failed(error) from error
