"""The end of a run: what was accepted becomes durable, and the account of it goes into the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.events import AGENT_STOPPED
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import Seams
    from forebay.journal.journal import Journal
    from forebay.pipeline.intake import Pipeline


async def hand_over(pipeline: Pipeline, journal: Journal, seams: Seams, longest_s: float) -> None:
    """Wait until all that was accepted is durable; `longest_s` for a disk that takes nothing.

    The next start says that something is missing: this run's end is not orderly then.
    """
    closing = asyncio.create_task(pipeline.close(), name="pipeline.close")
    stuck_s = 0.0
    while stuck_s < longest_s and not closing.done():
        second = asyncio.create_task(seams.clock.sleep(1.0), name="pipeline.close.look")
        await asyncio.wait((closing, second), return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        stuck_s = stuck_s + 1.0 if journal.stats().trouble else 0.0
    closing.cancel()
    await asyncio.wait([closing])
    if not closing.cancelled():
        closing.result()


def tell_ledger(journal: Journal, uplinks: Sequence[str], seams: Seams) -> None:
    """Put the account of all streams together into the log: the last word of this run."""
    for name in uplinks:
        cursor = journal.cursor(name)
        accounts = [journal.ledger(stream, cursor) for stream in Stream]
        seams.events.emit(
            AGENT_STOPPED,
            uplink=name,
            produced=sum(account.produced for account in accounts),
            delivered=sum(account.delivered for account in accounts),
            pending=sum(account.pending for account in accounts),
            gapped=sum(account.gapped for account in accounts),
            quarantined=sum(account.quarantined for account in accounts),
        )
    if not uplinks:
        seams.events.emit(AGENT_STOPPED)
