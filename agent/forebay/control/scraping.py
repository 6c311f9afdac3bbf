"""One scrape of a running agent: what is asked of it, and where the work is done.

Owns that only the looking is done on the agent's event loop. Must not know who asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.control.exposition import text
from forebay.control.figures import Clock, Sight

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from forebay.control.answers import Answers
    from forebay.pipeline.anchors import Anchors


class Scraping:
    """Of one agent. Call it once a scrape, with the client's Accept: text and content type."""

    def __init__(self, answers: Answers, anchors: Anchors, counted: CollectorRegistry) -> None:
        """Look at `answers`; `counted` has the counters of events."""
        self._answers, self._anchors, self._counted = answers, anchors, counted

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        """Give all metrics. A ForebayError says what cannot be told now."""
        seen = await self.look()
        return await asyncio.to_thread(text, seen, self._counted, accept)

    async def look(self) -> Sight:
        """Give what a scrape is made of. A ForebayError says what cannot be told now.

        Polls go on between the parts: some take the longer the more files the journal has.
        """
        answers = self._answers
        status = answers.status()
        await asyncio.sleep(0)
        devices = tuple(answers.devices())
        await asyncio.sleep(0)
        uplinks = tuple(answers.uplinks())
        await asyncio.sleep(0)
        plugins = tuple(answers.plugins.statuses())
        journal = await answers.journal_status()
        await asyncio.sleep(0)
        ledger = tuple(await answers.ledger())
        clock = Clock(self._anchors.state, self._anchors.error_s)
        link = answers.link
        state = "" if link is None else link.state
        return Sight(status, devices, uplinks, plugins, journal, ledger, clock, state)
