"""The forwarder and an uplink that hangs, fails or is defective, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from forebay.errors import JournalFailed, UplinkError, UplinkMisbehaved, UplinkUnavailable
from forebay.events import UPLINK_FAILED, UPLINK_LOST
from forebay.forwarding.forwarder import CLOSE_DEADLINE_S, Forwarder, most_telling
from forebay.interfaces import Offer, Receipt, Terms
from forebay.settings import BackoffSettings, UplinkSettings
from forebay.testing.clock import FakeClock
from forebay.testing.records import make_record
from support.forwarding import make_seams, running
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.interfaces import Seams
    from forebay.model import Record

TERMS = Terms("scripted", (), 1 << 20, 1 << 20)
SETTINGS = UplinkSettings(
    kind="scripted", backoff=BackoffSettings(first=1.0, most=8.0), ack_deadline=30.0
)
HANG: float = 1e9


class ScriptedUplink:
    """Fails or hangs where told; otherwise connected, silent, and counting."""

    def __init__(self, clock: FakeClock) -> None:
        self.connect_error: BaseException | None = None
        self.send_error: Exception | None = None
        self.receipts_error: Exception | None = None
        self.receipts_end = asyncio.Event()
        self.connect_s = self.send_s = self.close_s = 0.0
        self.connects: list[float] = []
        self.closes = 0
        self.sent: list[Record] = []
        self._clock = clock

    async def connect(self, offer: Offer) -> Terms:
        self.connects.append(self._clock.monotonic_s())
        await self._clock.sleep(self.connect_s)
        if self.connect_error is not None:
            raise self.connect_error
        return TERMS

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        await self._clock.sleep(self.send_s)
        if self.send_error is not None:
            raise self.send_error
        self.sent += records

    async def receipts(self) -> AsyncIterator[Receipt]:
        if self.receipts_error is None:
            await self.receipts_end.wait()
        else:
            raise self.receipts_error
        for _ in ():
            yield _

    async def close(self) -> None:
        self.closes += 1
        await self._clock.sleep(self.close_s)


class Rig:
    """A forwarder, its uplink and its clock."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.clock = FakeClock()
        self.seams: Seams = make_seams(self.clock)
        self.uplink = ScriptedUplink(self.clock)
        self.forwarder = Forwarder("up", self.uplink, SETTINGS, journal, "gw", self.seams)


@pytest.fixture
def rig() -> Rig:
    return Rig(MemoryJournal(make_record(1), make_record(2)))


def unavailable(wait_s: float | None = None) -> UplinkUnavailable:
    return UplinkUnavailable("gone", hint="wait", wait_s=wait_s)


async def test_waits_between_tries_double_up_to_the_most(rig: Rig) -> None:
    rig.uplink.connect_error = unavailable()
    async with running(rig.forwarder):
        await rig.clock.advance(60)
    times = rig.uplink.connects
    waits = [later - earlier for earlier, later in pairwise(times)]
    for wait, ceiling in zip(waits, [1, 2, 4, 8, 8, 8], strict=False):
        assert ceiling / 2 <= wait <= ceiling
    assert 9 <= len(times) <= 14
    assert rig.uplink.closes == len(times)
    assert rig.seams.events.count(UPLINK_LOST, uplink="up") == 1


async def test_a_connect_that_hangs_is_given_up(rig: Rig) -> None:
    rig.uplink.connect_s = HANG
    async with running(rig.forwarder):
        await rig.clock.advance(29.9)
        assert rig.forwarder.status().state == "connecting"
        await rig.clock.advance(0.2)
        assert rig.forwarder.status().state == "waiting"
        assert rig.forwarder.status().last_error == "no session within 30 s"
        rig.uplink.connect_s = 0
        await rig.clock.advance(1)
        assert rig.forwarder.status().state == "connected"


async def test_a_send_that_hangs_is_given_up(rig: Rig) -> None:
    rig.uplink.send_s = HANG
    async with running(rig.forwarder):
        await rig.clock.advance(29.9)
        assert rig.forwarder.status().state == "connected"
        await rig.clock.advance(0.2)
        assert rig.forwarder.status().last_error == "no ack for 30 s of 2 records sent"


async def test_a_close_that_hangs_is_given_up(rig: Rig) -> None:
    rig.uplink.connect_error = unavailable()
    rig.uplink.close_s = HANG
    async with running(rig.forwarder):
        await rig.clock.advance(CLOSE_DEADLINE_S + 1)
        assert len(rig.uplink.connects) == 2


async def test_cancelling_in_the_middle_of_anything_closes(rig: Rig) -> None:
    for hanging in ("connect_s", "send_s"):
        setattr(rig.uplink, hanging, HANG)
        async with running(rig.forwarder):
            await rig.clock.advance(1)
        assert rig.uplink.closes == len(rig.uplink.connects)
        setattr(rig.uplink, hanging, 0)


@pytest.mark.parametrize("where", ["connect_error", "send_error", "receipts_error"])
async def test_a_defective_uplink_is_contained(rig: Rig, where: str) -> None:
    setattr(rig.uplink, where, ZeroDivisionError("division by zero"))
    async with running(rig.forwarder):
        await rig.clock.advance(0.1)
        status = rig.forwarder.status()
        assert status.state == "waiting"
        assert status.last_error == "the uplink failed: ZeroDivisionError: division by zero"
        assert "defect" in status.last_hint
        assert rig.seams.events.count(UPLINK_FAILED, uplink="up") == 1
        setattr(rig.uplink, where, None)
        await rig.clock.advance(1)
        assert [r.position.seq for r in rig.uplink.sent[-2:]] == [1, 2]


async def test_receipts_that_just_end_are_an_outage(rig: Rig) -> None:
    rig.uplink.receipts_end.set()
    async with running(rig.forwarder):
        await rig.clock.advance(0.1)
        assert rig.forwarder.status().last_error == "the destination ended the session"


async def test_the_cause_is_told_when_sender_and_receiver_fail_together(rig: Rig) -> None:
    rig.uplink.send_error = unavailable()
    rig.uplink.receipts_error = UplinkMisbehaved("nonsense", hint="upgrade")
    async with running(rig.forwarder):
        await rig.clock.advance(0.1)
        assert rig.forwarder.status().last_error == "nonsense"


async def test_a_cancellation_that_meets_an_error_is_kept(rig: Rig) -> None:
    """Task groups before Python 3.13 forget it: the forwarder would run on, unstoppable."""
    async with running(rig.forwarder) as task:
        await rig.clock.advance(0.1)
        assert rig.forwarder.status().state == "connected"
        rig.uplink.receipts_error = unavailable()
        rig.uplink.receipts_end.set()
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait({task})
        assert task.cancelled()


def test_the_most_telling_error_is_found_in_any_depth() -> None:
    journal = JournalFailed("disk", hint="")
    waiting, misbehaved = unavailable(3.0), UplinkMisbehaved("bad", hint="")
    order = [journal, ValueError("bug"), misbehaved, waiting, unavailable()]
    for number in range(len(order)):
        rest = order[number:]
        nested = ExceptionGroup("outer", [rest[-1], ExceptionGroup("inner", rest[::-1])])
        assert most_telling(nested) is rest[0]
    assert isinstance(most_telling(ExceptionGroup("one", [waiting])), UplinkError)
