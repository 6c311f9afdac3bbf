"""Lines that are slow, long or silent, and destinations without credit; a test moves the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from forebay.errors import UplinkUnavailable
from forebay.forwarding.forwarder import Forwarder
from forebay.forwarding.pace import LEAST_BYTES
from forebay.interfaces import Offer, Receipt, Resume, Terms
from forebay.model import Position, RecordKind, Stream
from forebay.positions import Account
from forebay.settings import UplinkSettings
from forebay.testing.clock import FakeClock
from forebay.testing.records import make_record
from support.forwarding import make_seams, running
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from forebay.model import Record

T, E = Stream.TELEMETRY, 1 << 32
BIG = 250_000
SLOW = 2_000.0
"""Bytes a second: 16 kbit/s."""


class LineUplink:
    """A line of `rate` bytes a second and `way_s` there and back, to a destination that stores.

    It breaks after `patience_s` in which nothing came back of what was sent, as under a transport
    whose pings wait behind the records, and at each message with one of the seqs in `poison`.
    """

    def __init__(self, clock: FakeClock, *, rate: float = float("inf"), way_s: float = 0.0) -> None:
        self.rate, self.way_s, self.patience_s = rate, way_s, float("inf")
        self.credit_bytes = 16 << 20
        self.poison: Collection[int] = ()
        self.stored: list[Position] = []
        self.most_flying = self.connects = 0
        self._clock = clock
        self._account = Account()
        self._begin()

    def _begin(self) -> None:
        self._line: asyncio.Queue[tuple[Sequence[Record], Sequence[int]]] = asyncio.Queue()
        self._back: asyncio.Queue[Receipt | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard_s = self._clock.monotonic_s()
        self._flying = 0

    async def connect(self, offer: Offer) -> Terms:
        del offer
        self._begin()
        self.connects += 1
        self._tasks = [asyncio.create_task(self._carry()), asyncio.create_task(self._ping())]
        resumes = tuple(
            Resume(stream, epoch, runs.whole, islands=runs.islands)
            for stream, epoch in sorted({p[:2] for p in self.stored})
            for runs in [self._account.runs(stream, epoch)]
        )
        return Terms("far", resumes, self.credit_bytes, 16 << 20)

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        del historical
        if not self._flying:
            self._heard_s = self._clock.monotonic_s()
        self._flying += sum(len(record.payload) for record in records)
        self.most_flying = max(self.most_flying, self._flying)
        self._line.put_nowait((records, absent_from or [0] * len(records)))

    async def _carry(self) -> None:
        """One message after the other, as fast as the line is."""
        while True:
            records, absent = await self._line.get()
            await self._clock.sleep(sum(len(r.payload) for r in records) / self.rate)
            self._tasks.append(asyncio.create_task(self._arrive(records, absent)))

    async def _arrive(self, records: Sequence[Record], absent: Sequence[int]) -> None:
        await self._clock.sleep(self.way_s)
        if any(r.kind is RecordKind.BATCH and r.position.seq in self.poison for r in records):
            self._back.put_nowait(None)
            return
        for record, since in zip(records, absent, strict=True):
            stream, epoch, seq = record.position
            self._account.add(stream, epoch, since or seq, seq)
            self.stored.append(record.position)
            self._flying -= len(record.payload)
        self._heard_s = self._clock.monotonic_s()
        runs = self._account.runs(stream, epoch)
        resume = Resume(stream, epoch, runs.whole, islands=runs.islands)
        self._back.put_nowait(Receipt(resume, self.credit_bytes))

    async def _ping(self) -> None:
        while True:
            await self._clock.sleep(1)
            if self._flying and self._clock.monotonic_s() - self._heard_s > self.patience_s:
                self._back.put_nowait(None)

    async def receipts(self) -> AsyncIterator[Receipt]:
        while (receipt := await self._back.get()) is not None:
            yield receipt
        raise UplinkUnavailable("ping timeout", hint="wait")

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Rig:
    """A forwarder, its line and its clock."""

    def __init__(self, *records: Record, rate: float = float("inf"), way_s: float = 0.0) -> None:
        self.clock = FakeClock(wall_ns=1_800_000_000 * 10**9)  # the records are of years ago
        self.journal = MemoryJournal(*records)
        self.line = LineUplink(self.clock, rate=rate, way_s=way_s)
        settings: dict[str, Any] = {"kind": "x", "backfill": {"after": "30 s"}}
        self.forwarder = Forwarder(
            "up",
            self.line,
            UplinkSettings.model_validate(settings),
            self.journal,
            "gw",
            make_seams(self.clock),
        )

    async def pass_s(self, seconds: int) -> None:
        """Let time pass in steps so short that a session begins within one of them."""
        for _ in range(2 * seconds):
            await self.clock.advance(0.5)


def mixed(count: int) -> list[Record]:
    """Give small records with large ones among them."""
    return [make_record(seq, bytes(BIG if seq % 2 else 1_000)) for seq in range(1, 2 * count + 1)]


async def test_large_records_on_a_slow_line_arrive_in_one_session() -> None:
    """Each takes two minutes, which is four times the default deadline."""
    rig = Rig(*mixed(6), rate=SLOW)
    async with running(rig.forwarder):
        await rig.pass_s(900)
        status = rig.forwarder.status()
    assert (status.sessions, status.pending_records) == (1, 0)
    assert rig.journal.quarantine.kept == []


async def test_a_line_that_suddenly_is_slow_costs_sessions_and_no_record() -> None:
    rig = Rig(*(make_record(seq, bytes(1_000)) for seq in range(1, 50)), rate=1e6)
    async with running(rig.forwarder):
        await rig.pass_s(1)
        assert rig.forwarder.status().pending_records == 0
        rig.line.rate = SLOW
        rig.journal.append(*(make_record(seq, bytes(BIG)) for seq in range(50, 60)))
        await rig.pass_s(3_000)
        assert rig.forwarder.status().pending_records == 0
    assert rig.journal.quarantine.kept == []


async def test_a_transport_that_gives_up_on_the_slow_line_convicts_nothing() -> None:
    """Its pings wait behind the record: each session ends before that has arrived."""
    rig = Rig(*mixed(3), rate=SLOW)
    rig.line.patience_s = 28.0
    async with running(rig.forwarder):
        await rig.pass_s(3_000)
        assert rig.forwarder.status().sessions > 30
        assert rig.journal.quarantine.kept == []
        rig.line.patience_s = float("inf")
        await rig.pass_s(1_000)
        assert rig.forwarder.status().pending_records == 0
    assert rig.journal.quarantine.kept == []
    assert len(set(rig.line.stored)) == len(rig.line.stored) == 6


async def test_poison_is_found_on_the_slow_line_too() -> None:
    """The destination breaks on a large record two minutes after it was sent, each time."""
    rig = Rig(*mixed(3), rate=SLOW)
    rig.line.poison = {3}
    async with running(rig.forwarder):
        await rig.pass_s(3_000)
        assert [copy.position.seq for copy in rig.journal.quarantine.kept] == [3]
        assert rig.forwarder.status().pending_records == 0


async def test_a_record_out_of_quarantine_has_the_time_that_the_line_takes() -> None:
    rig = Rig(make_record(1), rate=SLOW)
    async with running(rig.forwarder):
        await rig.pass_s(1)
        retried = asyncio.create_task(rig.forwarder.retry(make_record(2, bytes(BIG))))
        rig.journal.cursor("up").reject(Position(T, E, 2), 1)
        await rig.pass_s(130)
        assert retried.done()
        assert retried.result()
        assert rig.forwarder.status().sessions == 1


async def test_few_large_records_fill_a_long_way() -> None:
    """0.6 s there and back, something fresh each 0.1 s, and a backlog of 20 kB records."""
    backlog = [make_record(seq, bytes(20_000)) for seq in range(1, 1_001)]
    rig = Rig(*backlog, make_record(1, epoch=2 * E), way_s=0.6)
    async with running(rig.forwarder):
        for seq in range(2, 120):
            rig.journal.append(make_record(seq, epoch=2 * E))
            await rig.clock.advance(0.1)
        assert rig.line.most_flying > 10 * LEAST_BYTES
        assert rig.forwarder.status().pending_records < 100


async def test_a_slow_line_has_one_large_record_on_it() -> None:
    """What is fresh waits for one of them, and never for two."""
    backlog = [make_record(seq, bytes(BIG)) for seq in range(1, 10)]
    rig = Rig(*backlog, make_record(1, epoch=2 * E), rate=SLOW)
    async with running(rig.forwarder):
        await rig.pass_s(200)
        assert rig.line.most_flying < BIG + LEAST_BYTES


async def test_a_destination_without_credit_is_told_of_and_asked_anew() -> None:
    rig = Rig(*mixed(1))
    rig.line.credit_bytes = 0
    async with running(rig.forwarder):
        await rig.pass_s(29)
        status = rig.forwarder.status()
        assert (status.state, status.sessions) == ("connected", 1)
        assert status.held == "the destination gives no credit"
        errors = set()
        for _ in range(60):
            await rig.clock.advance(0.05)
            errors.add(rig.forwarder.status().last_error)
        assert rig.line.connects == 2
        assert errors == {"", "no credit for 30 s: the destination lets nothing be sent"}
        rig.line.credit_bytes = 1 << 20
        await rig.pass_s(30)
        await rig.pass_s(10)
        status = rig.forwarder.status()
        assert (status.pending_records, status.held) == (0, "")
    assert rig.journal.quarantine.kept == []


async def test_no_credit_matters_only_where_something_could_go() -> None:
    rig = Rig()
    rig.line.credit_bytes = 0
    async with running(rig.forwarder):
        await rig.pass_s(600)
        status = rig.forwarder.status()
        assert (status.state, status.sessions, status.held) == ("connected", 1, "")


async def test_poison_without_another_record_says_what_it_waits_for() -> None:
    rig = Rig(make_record(1))
    rig.line.poison = {1}
    waits = f"the destination breaks on telemetry {E:x}/1, which waits for another to compare with"
    async with running(rig.forwarder):
        await rig.pass_s(300)
        assert rig.journal.quarantine.kept == []
        states = set()
        for _ in range(100):
            await rig.clock.advance(0.3)
            states.add(rig.forwarder.status().state)
            assert rig.forwarder.status().held == waits
        assert "waiting" in states
        rig.journal.append(make_record(2))
        await rig.pass_s(60)
        assert rig.forwarder.status().held == ""
        assert [copy.position.seq for copy in rig.journal.quarantine.kept] == [1]
        assert rig.forwarder.status().pending_records == 0
