"""A destination hears of the journal's epochs, and the journal of those that it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.testing.records import make_record
from forebay.testing.uplink_server import UplinkServer
from support.forwarding import make_forwarder, running, until
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.model import Record

QUICK: dict[str, Any] = {"backoff": {"first": 0.05, "most": 0.4}}


@pytest.fixture
async def server() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as started:
        yield started


def telemetry(first: int, last: int) -> list[Record]:
    return [make_record(seq) for seq in range(first, last + 1)]


async def test_a_destination_hears_of_a_new_epoch_at_once(server: UplinkServer) -> None:
    journal = MemoryJournal(*telemetry(1, 5))
    await journal.new_epoch("the run")
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1
        await journal.new_epoch("another destination has other records")
        await until(lambda: forwarder.status().sessions == 2)
        await until(lambda: forwarder.status().state == "connected")
        journal.append(make_record(1, epoch=journal.epoch))
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 2
    last = server.store.records[-1]
    assert (last.epoch, last.seq) == (journal.epoch, 1)


@pytest.mark.parametrize(("newest", "begun"), [(9 << 32, 1), (1 << 32, 0), (1 << 62, 0)])
async def test_a_journal_that_began_anew_goes_on_above_what_the_destination_knows(
    server: UplinkServer, newest: int, begun: int
) -> None:
    journal = MemoryJournal(*telemetry(1, 5))
    await journal.new_epoch("the run")
    server.newest_epoch = newest
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1 + begun
    assert len(journal.new_epochs) == 1 + begun
    assert (journal.epoch > newest) is (newest < 1 << 62)
