"""A write goes out once, in its turn and in time, or not at all; a doubt is told as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.acquisition.link import Link
from forebay.acquisition.operations import Operations
from forebay.errors import DeviceRefused, DeviceUnreachable, ProtocolViolation, WriteInDoubt
from forebay.interfaces import DeviceSpec, Urgency
from forebay.model import Outcome, Quality
from forebay.settings import DeviceSettings
from forebay.testing.driver import ScriptedDriver
from support.processes import until
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Clock
    from forebay.errors import DeviceError
    from forebay.interfaces import Value

SPEC = DeviceSpec(
    "press", DeviceSettings.model_validate({"protocol": "scripted", "tags": (), "timeout": 0.2}),
    (), {},
)  # fmt: skip


class World:
    def __init__(self) -> None:
        self.seams = system_seams()
        self.line = SharedLine("press", self.seams.clock)
        self.contained: list[Exception] = []
        self.link = Link(lambda: None, self._contained)
        self.lost = self.link.up()
        self.driver = ScriptedDriver(self.seams.clock)
        self.operations = Operations(SPEC, self.link, self.line, self.seams)
        self.operations.connected(self.driver)

    def _contained(self, fault: Exception) -> DeviceError:
        self.contained.append(fault)
        return DeviceUnreachable(repr(fault), hint="h", status=Quality.BAD_DEVICE_FAILURE)

    def due(self, seconds: float = 30.0) -> float:
        return self.seams.clock.monotonic_s() + seconds


async def test_what_the_device_took_is_good_and_read_back() -> None:
    world = World()
    answer = await world.operations.write("a", 7, world.due())
    assert (answer.outcome, answer.read_back, world.driver.written) == (
        Outcome.GOOD,
        7,
        [("a", 7)],
    )
    assert answer.answered_s > 0


async def test_what_cannot_be_read_is_not_read_back() -> None:
    world = World()
    answer = await world.operations.write("a", 7, world.due(), read_back=False)
    assert (answer.outcome, answer.read_back) == (Outcome.GOOD, None)


async def test_without_a_connection_nothing_is_sent() -> None:
    world = World()
    world.operations.disconnected()
    answer = await world.operations.write("a", 7, world.due())
    assert (answer.outcome, world.driver.written) == (Outcome.REFUSED, [])
    assert "not connected" in answer.detail


async def test_a_driver_that_cannot_write_refuses() -> None:
    world = World()

    class Reading:
        async def connect(self) -> None: ...
        async def close(self) -> None: ...

    world.operations.connected(Reading())
    for answer in (
        await world.operations.write("a", 7, world.due()),
        await world.operations.call("m", (), world.due()),
    ):
        assert answer.outcome is Outcome.REFUSED
        assert "no way" in answer.detail


async def test_a_turn_that_comes_too_late_never_goes_out() -> None:
    world = World()
    async with world.line.turn(Urgency.POLL):
        answer = await world.operations.write("a", 7, world.due(0.05))
    await asyncio.sleep(0)
    assert (answer.outcome, world.driver.written) == (Outcome.REFUSED, [])
    assert (await world.operations.write("a", 8, world.due(-1))).outcome is Outcome.REFUSED
    assert world.driver.written == []
    assert world.line.waiting() == 0


async def test_a_driver_that_waits_is_told_until_when_it_may_send() -> None:
    world = World()
    punctual = Punctual(world.seams.clock)
    world.operations.connected(punctual)
    due_s = world.due()
    answer = await world.operations.write("a", 7, due_s)
    assert (answer.outcome, answer.read_back) == (Outcome.GOOD, 7)
    answer = await world.operations.call("m", (1,), due_s)
    assert (answer.outcome, answer.outputs) == (Outcome.GOOD, (1,))
    assert punctual.due == [due_s, due_s]
    punctual.late = True
    answer = await world.operations.write("a", 8, world.due())
    assert (answer.outcome, answer.detail) == (Outcome.REFUSED, "too late")
    assert punctual.written == [("a", 7), ("m", (1,))]


class Punctual(ScriptedDriver):
    """Looks at the clock itself."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.due: list[float] = []
        self.late = False

    async def write_by(self, tag: str, value: Value, due_s: float) -> None:
        if self.late:
            raise DeviceRefused("too late", hint="h", status=Quality.BAD_TIMEOUT)
        self.due.append(due_s)
        await self.write(tag, value)

    async def call_by(
        self, method: str, arguments: Sequence[Value], due_s: float
    ) -> Sequence[Value]:
        self.due.append(due_s)
        return await self.call(method, arguments)


async def test_a_connection_lost_while_waiting_never_gets_it() -> None:
    world = World()
    async with world.line.turn(Urgency.POLL):
        writing = asyncio.create_task(world.operations.write("a", 7, world.due()), name="write")
        await until(world.line.waiting, "it waits")
        world.operations.connected(ScriptedDriver(world.seams.clock))
    answer = await writing
    assert (answer.outcome, world.driver.written) == (Outcome.REFUSED, [])


async def test_writes_go_before_polls_that_wait() -> None:
    world, order = World(), list[str]()
    world.driver.on_write = lambda tag, _value: order.append(tag)

    async def poll() -> None:
        async with world.line.turn(Urgency.POLL):
            order.append("poll")

    async with asyncio.TaskGroup() as tasks, world.line.turn(Urgency.POLL):
        tasks.create_task(poll(), name="poll")
        await until(lambda: world.line.waiting() == 1, "it waits")
        tasks.create_task(world.operations.write("a", 7, world.due()), name="write")
        await until(lambda: world.line.waiting() == 2, "it waits")
        await world.line.give_way()
    assert order == ["a", "poll"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeviceRefused("no", hint="h", status=Quality.BAD_NOT_WRITABLE), Outcome.REFUSED),
        (WriteInDoubt("?", hint="h", status=Quality.BAD_TIMEOUT), Outcome.UNKNOWN),
        (DeviceUnreachable("gone", hint="h", status=Quality.BAD_TIMEOUT), Outcome.UNKNOWN),
        (ProtocolViolation("odd", hint="h", status=Quality.BAD_DECODING_ERROR), Outcome.UNKNOWN),
    ],
)
async def test_only_a_clear_no_is_a_refusal(error: DeviceError, outcome: Outcome) -> None:
    world = World()

    def fail(_tag: str, _value: object) -> None:
        raise error

    world.driver.on_write = fail
    answer = await world.operations.write("a", 7, world.due())
    assert (answer.outcome, answer.hint) == (outcome, "h")
    assert len(world.driver.written) == 1


async def test_a_driver_that_fails_is_contained_and_leaves_it_open() -> None:
    world = World()

    def fail(_tag: str, _value: object) -> None:
        raise KeyError("a defect")

    world.driver.on_write = fail
    assert (await world.operations.write("a", 7, world.due())).outcome is Outcome.UNKNOWN
    assert len(world.contained) == 1


async def test_a_device_that_never_answers_leaves_it_open_and_loses_its_connection() -> None:
    world = World()
    never = asyncio.Event()
    world.driver.on_write = lambda _tag, _value: never.wait()
    answer = await world.operations.call("m", (1,), world.due())
    assert answer.outcome is Outcome.UNKNOWN
    assert world.lost.done()
    assert world.line.waiting() == 0


async def test_what_was_acknowledged_stays_good_if_it_cannot_be_read_back() -> None:
    world = World()

    def fail(_tag: str) -> None:
        raise DeviceUnreachable("gone", hint="h", status=Quality.BAD_TIMEOUT)

    world.driver.on_read_back = fail
    answer = await world.operations.write("a", 7, world.due())
    assert (answer.outcome, answer.read_back) == (Outcome.GOOD, None)
    assert "could not be read back" in answer.detail


async def test_a_call_gives_what_the_method_gave() -> None:
    world = World()
    answer = await world.operations.call("m", (1, "a"), world.due())
    assert (answer.outcome, answer.outputs) == (Outcome.GOOD, (1, "a"))
