"""Whose turn it is on a shared wire: order, giving way, cancellation, limits that stand still."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.line import LOAD_OVER_S, PROBE_PATIENCE_S, SharedLine
from forebay.interfaces import Urgency
from forebay.testing.clock import FakeClock
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE, POLL, PROBE = Urgency.WRITE, Urgency.POLL, Urgency.PROBE


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Wire:
    """A line and those who want it; `order` holds the names in the order of their turns."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.line = SharedLine("wire", self.clock)
        self.order: list[str] = []
        self._free: dict[str, asyncio.Event] = {}

    def comes(self, name: str, urgency: Urgency, due_s: float = 0.0) -> asyncio.Task[None]:
        return asyncio.create_task(self._hold(name, urgency, due_s), name=name)

    async def _hold(self, name: str, urgency: Urgency, due_s: float) -> None:
        done = self._free[name] = asyncio.Event()
        async with self.line.turn(urgency, due_s):
            self.order.append(name)
            await done.wait()

    def leaves(self, name: str) -> None:
        self._free[name].set()

    def wanted(self) -> bool:
        return self.line.wanted

    async def all_leave(self) -> None:
        while self.line.held_s() >= 0 and any(not e.is_set() for e in self._free.values()):
            for event in self._free.values():
                event.set()
            await settle()


async def test_writes_go_first_then_polls_by_deadline_then_probes_as_they_came() -> None:
    wire = Wire()
    wire.comes("first", PROBE)
    await settle()
    for name, urgency, due_s in [
        ("probe a", PROBE, 0.0),
        ("poll 9", POLL, 9.0),
        ("poll 3", POLL, 3.0),
        ("probe b", PROBE, 0.0),
        ("poll 3 too", POLL, 3.0),
        ("write a", WRITE, 0.0),
        ("write b", WRITE, 0.0),
    ]:
        wire.comes(name, urgency, due_s)
        await settle()
    assert wire.line.waiting() == 7
    await wire.all_leave()
    polls = ["poll 3", "poll 3 too", "poll 9"]
    assert wire.order == ["first", "write a", "write b", *polls, "probe a", "probe b"]
    assert wire.line.waiting() == 0


async def test_nobody_is_wanted_by_who_goes_later() -> None:
    wire = Wire()
    wire.comes("poll", POLL, 5.0)
    await settle()
    wire.comes("probe", PROBE)
    wire.comes("later", POLL, 5.5)
    await settle()
    assert not wire.wanted()
    wire.comes("sooner", POLL, 4.5)
    await settle()
    assert wire.wanted()
    await wire.all_leave()
    assert wire.order == ["poll", "sooner", "later", "probe"]
    assert not wire.wanted()


async def test_a_long_turn_gives_way_in_the_middle_and_goes_on_before_who_came_later() -> None:
    wire = Wire()
    steps: list[str] = []

    async def scan() -> None:
        async with wire.line.turn(POLL, 5.0):
            for number in range(3):
                steps.append(f"request {number}")
                await wire.clock.sleep(1)
                await wire.line.give_way()
            steps.append("end")

    task = asyncio.create_task(scan(), name="scan")
    await wire.clock.advance(0.5)
    write, later = wire.comes("write", WRITE), wire.comes("later", POLL, 6.0)
    await wire.clock.advance(1)
    assert (wire.order, steps) == (["write"], ["request 0"])
    wire.leaves("write")
    await wire.clock.advance(5)
    assert steps == ["request 0", "request 1", "request 2", "end"]
    assert wire.order == ["write", "later"]
    wire.leaves("later")
    await asyncio.gather(task, write, later)


@pytest.mark.parametrize("moment", ["waiting", "granted", "holding", "giving way", "given back"])
async def test_who_is_cancelled_leaves_nothing_behind(moment: str) -> None:
    """To leave a turn takes no step of the loop: who follows is granted it and not awake yet."""
    wire, gate = Wire(), asyncio.Event()

    async def scan() -> None:
        async with wire.line.turn(POLL, 5.0):
            wire.order.append("scan")
            await gate.wait()
            await wire.line.give_way()
            wire.order.append("again")
            await asyncio.Event().wait()

    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(wire.line.turn(WRITE))
        task = asyncio.create_task(scan(), name="scan")
        await settle()
        after = wire.comes("after", POLL, 9.0)
        await settle()
        if moment != "waiting":
            await first.aclose()
        if moment not in ("waiting", "granted"):
            await settle()
        if moment.startswith("giv"):
            waiting = asyncio.create_task(
                second.enter_async_context(wire.line.turn(WRITE)), name="second"
            )
            await settle()
            gate.set()
            await settle()
            assert waiting.done()
        if moment == "given back":
            await second.aclose()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert ("scan" in wire.order) == (moment not in ("waiting", "granted"))
    await settle()
    await wire.all_leave()
    await after
    assert "again" not in wire.order
    assert wire.line.waiting() == 0
    async with asyncio.timeout(5), wire.line.turn(PROBE):
        pass


async def test_an_error_in_a_turn_ends_it() -> None:
    wire = Wire()
    with pytest.raises(ZeroDivisionError):
        async with wire.line.turn(POLL):
            raise ZeroDivisionError
    async with asyncio.timeout(5), wire.line.turn(PROBE):
        pass


async def test_a_probe_does_not_starve_on_a_wire_that_is_never_free() -> None:
    wire = Wire()
    turns = 0

    async def poll(number: int) -> None:
        nonlocal turns
        for round_ in range(1000):
            async with wire.line.turn(POLL, round_ + number / 10):
                turns += 1
                await wire.clock.sleep(0.5)

    polls = [asyncio.create_task(poll(n), name=f"poll {n}") for n in range(3)]
    await wire.clock.advance(0.1)
    probe = wire.comes("probe", PROBE)
    await wire.clock.advance(PROBE_PATIENCE_S - 1)
    assert wire.order == []
    assert turns > 15, "until then it gives way to all"
    await wire.clock.advance(2)
    assert wire.order == ["probe"]
    wire.leaves("probe")
    await wire.clock.advance(1)
    assert probe.done()
    await asyncio.sleep(0)
    for task in polls:
        task.cancel()
    await asyncio.wait(polls)


async def test_a_probe_that_was_patient_still_lets_writes_go_first() -> None:
    wire = Wire()
    wire.comes("first", POLL)
    await settle()
    wire.comes("probe", PROBE)
    await settle()
    wire.clock.freeze(PROBE_PATIENCE_S + 1)
    wire.comes("poll", POLL, wire.clock.monotonic_s() + 1)
    wire.comes("write", WRITE)
    await settle()
    await wire.all_leave()
    assert wire.order == ["first", "write", "probe", "poll"]


async def test_how_long_it_was_held_is_counted_and_waiting_is_not() -> None:
    wire = Wire()
    wire.clock.freeze(3)
    one = wire.comes("one", POLL)
    await settle()
    two = wire.comes("two", POLL)
    await wire.clock.advance(2)
    assert wire.line.held_s() == 2
    wire.leaves("one")
    await settle()
    await wire.clock.advance(1)
    wire.leaves("two")
    await asyncio.gather(one, two)
    await wire.clock.advance(LOAD_OVER_S)
    assert wire.line.held_s() == 3
    assert wire.line.load() == pytest.approx(3 / (6 + LOAD_OVER_S))
    await wire.clock.advance(LOAD_OVER_S)
    assert wire.line.load() == 0


# --- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["turn", "give_way"])
async def test_a_limit_stands_still_while_others_have_the_turn(where: str) -> None:
    wire, limit_s = Wire(), 0.5

    async def work() -> None:
        async with wire.line.limit(limit_s):
            if where == "turn":
                wire.comes("other", WRITE)
                await settle()
            async with wire.line.turn(POLL):
                if where == "give_way":
                    wire.comes("other", WRITE)
                    await settle()
                await wire.line.give_way()

    task = asyncio.create_task(work(), name="work")
    await asyncio.sleep(2.5 * limit_s)  # the limit is the event loop's, not the fake clock's
    assert wire.order == ["other"]
    assert not task.done()
    wire.leaves("other")
    await task


async def test_a_limit_still_ends_what_holds_the_line_too_long() -> None:
    wire = Wire()

    async def silent() -> None:
        async with wire.line.limit(0.05), wire.line.turn(POLL):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await silent()
    async with asyncio.timeout(5), wire.line.turn(PROBE):
        pass


# --- anything at all ------------------------------------------------------------------------------


class Watched(SharedLine):
    """Tells to whom it gives each turn, at the moment at which it does."""

    def __init__(self, clock: FakeClock, given: Callable[[tuple[int, float, int]], None]) -> None:
        super().__init__("wire", clock)
        self._given = given

    def _begin(self, place: Any) -> None:
        self._given(tuple(place))
        super()._begin(place)


class Crowd:
    """Random users of one line, and a model of who may go when."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.line = Watched(self.clock, self.given)
        self.holders: set[int] = set()
        self.waiting: dict[int, tuple[int, float, int]] = {}
        self.served: set[int] = set()
        self.asked = count()

    def given(self, place: tuple[int, float, int]) -> None:
        """Nobody who goes first is left waiting when a turn is given."""
        assert all(place <= other for other in self.waiting.values()), (place, self.waiting)

    def got(self, number: int) -> None:
        """Nobody else has it when somebody begins."""
        del self.waiting[number]
        assert not self.holders, (number, self.holders)
        self.holders.add(number)

    async def user(self, number: int) -> None:
        await self.idle()
        urgency, due_s = self.rng.choice(list(Urgency)), float(self.rng.randrange(4))
        place = self.waiting[number] = (urgency, due_s, next(self.asked))
        try:
            async with self.line.turn(urgency, due_s):
                self.got(number)
                try:
                    await self.requests(number, place)
                finally:
                    self.holders.discard(number)
            self.served.add(number)
        finally:
            self.waiting.pop(number, None)

    async def requests(self, number: int, place: tuple[int, float, int]) -> None:
        for _ in range(self.rng.randrange(4)):
            await self.idle()
            if self.line.wanted:
                self.holders.remove(number)
                self.waiting[number] = place
                await self.line.give_way()
                self.got(number)
        if self.rng.random() < 0.1:
            raise ConnectionError

    async def idle(self) -> None:
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)


@examples(300)
@given(st.integers(0, 1 << 32), st.integers(1, 30))
def test_whatever_happens_one_holds_it_and_nobody_is_forgotten(seed: int, users: int) -> None:
    async def run() -> None:
        crowd = Crowd(seed)
        tasks = [asyncio.create_task(crowd.user(n), name=f"user {n}") for n in range(users)]
        doomed = {n for n in range(users) if crowd.rng.random() < 0.3}
        for number in sorted(doomed, key=lambda _: crowd.rng.random()):
            await crowd.idle()
            # What a cancelled one still stands for in the model is taken out as the line does.
            if tasks[number].cancel() and number in crowd.waiting:
                crowd.waiting.pop(number)
        _, forgotten = await asyncio.wait(tasks, timeout=10)
        assert not forgotten
        for number, task in enumerate(tasks):
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, ConnectionError), error
            assert number in doomed or number in crowd.served or error, number
        assert crowd.line.waiting() == 0
        assert not crowd.line.wanted
        async with asyncio.timeout(5), crowd.line.turn(Urgency.PROBE):
            pass

    asyncio.run(run())
