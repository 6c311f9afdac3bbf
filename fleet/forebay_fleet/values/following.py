"""Looking on while values come: how often is looked, and how many may look.

Owns the walk. Must not know where values are, nor how they are told.

A reader that takes long to take what it was given is looked for later, so nothing waits for it
here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay_fleet.errors import StoreError
from forebay_fleet.values.parts import begun

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.reading import Readers
    from forebay_fleet.values.tailing import Look, Tail

MOST_AT_ONCE = 64
LOOK_S = 0.5
QUIET_S = 15.0
"""After so long a look is given that found nothing: whoever sends it on finds who has gone."""
ASKED_S = 5.0
"""How often is asked whether who looks still may."""


class Lives:
    """All that look at one server, by whatever port."""

    def __init__(self, readers: Readers, stopping: asyncio.Event) -> None:
        """Look by `readers` until `stopping`."""
        self._readers, self._stopping = readers, stopping
        self._open = 0

    async def open(
        self, tail: Tail, tell: Callable[[Tail, Look], bytes], may: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes]:
        """Tell of the first look, then of those that found something, until the server stops.

        The first is taken before this returns. `tell` is called on the threads that read. `may` is
        asked now and then, and raises to end it.

        Raises:
            StoreError: too many look already.
            UsageError, DecodingError: see `Tail.look`.
        """
        if self._open >= MOST_AT_ONCE:
            raise StoreError(f"{MOST_AT_ONCE} look already", hint="ask for ranges now and then")
        return await begun(self._looks(tail, tell, may))

    async def _looks(
        self, tail: Tail, tell: Callable[[Tail, Look], bytes], may: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes]:
        def work(store: StoreReader) -> tuple[bytes, bool, bool]:
            look = tail.look(store)
            return tell(tail, look), bool(look.fresh or look.missed), look.more

        self._open += 1
        loop = asyncio.get_running_loop()
        try:
            told, _, more = await self._readers(work)
            yield told
            said_s = asked_s = loop.time()
            while not self._stopping.is_set():
                if not more:
                    await asyncio.sleep(LOOK_S)
                told, new, more = await self._readers(work)
                if loop.time() - asked_s > ASKED_S:
                    await may()
                    asked_s = loop.time()
                if new or loop.time() - said_s > QUIET_S:
                    yield told
                    said_s = loop.time()
        finally:
            self._open -= 1
