"""Holes whose dates are odd, whose pieces are empty, and whose server refuses."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import asyncua.ua
import numpy as np
import pytest

from forebay.drivers.opcua.codec import Values
from forebay.drivers.opcua.history import HistoryFeed
from forebay.drivers.opcua.values import BatchMaker
from forebay.errors import DeviceRefused
from forebay.model import Schema, Tag, ValueType
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.drivers.opcua.history import Heard

ua: Any = asyncua.ua
LAST_DATE = 2**63 - 1
BEGAN = 134_000_000_000_000_000
SECOND = 10_000_000
CODES = ua.StatusCodes


def answer(status: int = 0, point: bytes = b"", ticks: tuple[int, ...] = ()) -> bytes:
    """The bytes of a HistoryReadResponse of one node: doubles at `ticks`."""
    return whole([one(status, point, ticks)])


def whole(results: list[bytes]) -> bytes:
    """The bytes of a HistoryReadResponse."""
    header = b"\x01\x00\x9b\x02" + bytes(16) + b"\0" + struct.pack("<i", 0) + b"\0\0\0"
    return header + struct.pack("<i", len(results)) + b"".join(results)


def one(status: int = 0, point: bytes = b"", ticks: tuple[int, ...] = ()) -> bytes:
    """The bytes of a HistoryReadResult."""
    go_on = struct.pack("<i", len(point)) + point if point else struct.pack("<i", -1)
    rows = b"".join(b"\x05\x0b" + struct.pack("<dq", 1.0, tick) for tick in ticks)
    data = struct.pack("<i", len(ticks)) + rows
    history = b"\x01\x00" + struct.pack("<H", 658) + b"\x01" + struct.pack("<i", len(data)) + data
    return struct.pack("<I", status) + go_on + history


class Wire:
    """The network: answers as a script says, and keeps the requests."""

    max_nodes_per_history = 1000

    def __init__(self, script: Callable[[int], bytes]) -> None:
        self.asked: list[Any] = []
        self._script = script

    async def ask(self, request: Any, doing: str) -> bytes:
        self.asked.append(request.Parameters)
        return self._script(len(self.asked))

    @property
    def points(self) -> list[bytes | None]:
        return [asked.NodesToRead[0].ContinuationPoint for asked in self.asked]

    async def values(self, nodes: list[Any], attribute: int) -> list[int]:
        return [5] * len(nodes)


def at(ticks: int, columns: int = 1) -> Values:
    zeros = np.zeros(columns, np.int64)
    kinds, statuses = np.full(columns, 11, np.uint8), np.zeros(columns, np.uint32)
    handles, when = np.arange(columns, dtype=np.uint32), np.full(columns, ticks, np.int64)
    return Values(handles, kinds, np.ones(columns), statuses, when, zeros)


class Device:
    """Some tags over several connections, with a clock that a test sets."""

    def __init__(
        self, script: Callable[[int], bytes] = lambda _: answer(), columns: int = 1
    ) -> None:
        self.columns = columns
        self.wire = Wire(script)
        self.memory: dict[int, Heard] = {}
        self.told: list[dict[str, Any]] = []
        self.schema = Schema(
            "press",
            "default",
            tuple(Tag(f"t{n}", f"ns=1;i={n}", ValueType.FLOAT64) for n in range(columns)),
        )
        seams = system_seams()
        device = self

        class Clock:
            late_s = 0.0

            def __getattr__(self, name: str) -> Any:
                return getattr(seams.clock, name)

            def monotonic_s(self) -> float:
                return seams.clock.monotonic_s() + self.late_s

        class Told:
            def emit(self, event: object, **more: Any) -> None:
                device.told.append(more)

        self.clock = Clock()
        self._seams = replace(seams, clock=cast("Any", self.clock), events=cast("Any", Told()))

    async def connect(self) -> HistoryFeed:
        wire = cast("Any", self.wire)
        feed = HistoryFeed("press", wire, wire, self._seams, self.memory)
        maker = BatchMaker(self.schema, "source")
        await feed.open(self.schema, {n: ua.NodeId(n, 1) for n in range(self.columns)}, maker)
        return feed

    async def after_an_outage(self) -> HistoryFeed:
        """Connect twice, with one value each, a minute apart."""
        (await self.connect()).taken([(self.schema, at(BEGAN, self.columns))], None)
        feed = await self.connect()
        feed.note([(self.schema, at(BEGAN + 60 * SECOND, self.columns))])
        return feed

    @property
    def holes(self) -> list[Any]:
        return self.memory[self.schema.id].holes


async def read(feed: HistoryFeed) -> tuple[int, int]:
    """Take what is to be had now; gives the steps and the samples."""
    steps = samples = 0
    while (step := await feed.step()) is not None:
        batch, progress = step
        feed.taken((), progress)
        steps += 1
        samples += 0 if batch is None else batch.rows
        assert steps < 100, "it never ends"
    return steps, samples


@pytest.mark.parametrize("odd", [LAST_DATE, -5, 1, 2_600_000_000_000_000_000])
async def test_an_odd_date_bounds_no_hole_and_the_next_value_does(odd: int) -> None:
    device = Device()
    (await device.connect()).taken([(device.schema, at(BEGAN))], None)
    feed = await device.connect()
    feed.note([(device.schema, at(odd))])
    feed.taken([(device.schema, at(odd))], None)
    assert device.holes == []
    feed.note([(device.schema, at(BEGAN + SECOND))])
    assert [(hole.after, hole.before) for hole in device.holes] == [(BEGAN, BEGAN + SECOND)]
    await read(feed)
    third = await device.connect()
    third.note([(device.schema, at(BEGAN + 9 * SECOND))])
    assert [hole.before for hole in device.holes] == [BEGAN + 9 * SECOND]


async def test_a_hole_of_any_date_is_asked_for() -> None:
    device = Device()
    feed = await device.after_an_outage()
    device.holes[0].before = LAST_DATE
    await read(feed)
    assert len(device.wire.asked) == 1
    assert device.holes == []


async def test_a_piece_without_values_is_one_step_and_has_an_end() -> None:
    device = Device(lambda _: answer(point=b"more"))
    feed = await device.after_an_outage()
    step = await feed.step()
    assert step is not None
    assert step[0] is None
    assert len(device.wire.asked) == 1
    steps, _ = await read(feed)
    assert steps <= 10
    assert device.holes == []
    assert device.told == [{"device": "press", "holes": 0, "refused": 1, "samples": 0}]


async def test_a_lost_continuation_point_costs_no_value() -> None:
    def script(number: int) -> bytes:
        if number == 1:
            return answer(point=b"p", ticks=(BEGAN + SECOND,))
        if number == 2:
            return answer(CODES.BadContinuationPointInvalid)
        return answer(ticks=(BEGAN + 2 * SECOND,))

    device = Device(script)
    assert await read(await device.after_an_outage()) == (3, 2)
    assert device.wire.points == [None, b"p", None]
    assert device.told == [{"device": "press", "holes": 1, "refused": 0, "samples": 2}]


async def test_a_server_short_of_something_is_asked_later_and_not_for_ever() -> None:
    busy = [True]

    def script(_: int) -> bytes:
        return answer(CODES.BadResourceUnavailable) if busy[0] else answer(ticks=(BEGAN + SECOND,))

    device = Device(script)
    feed = await device.after_an_outage()
    assert await read(feed) == (1, 0)
    assert len(device.holes) == 1
    busy[0] = False
    device.clock.late_s = 60.0
    assert await read(feed) == (1, 1)
    assert device.told == [{"device": "press", "holes": 1, "refused": 0, "samples": 1}]

    busy[0], spoilt = True, Device(script)
    feed = await spoilt.after_an_outage()
    for minute in range(20):
        spoilt.clock.late_s = minute * 60.0
        await read(feed)
    assert spoilt.holes == []
    assert len(spoilt.wire.asked) < 20
    assert [told["refused"] for told in spoilt.told] == [1]


async def test_what_is_refused_for_good_is_not_told_as_filled() -> None:
    device = Device(lambda _: answer(CODES.BadUserAccessDenied))
    assert await read(await device.after_an_outage()) == (1, 0)
    assert device.told == [{"device": "press", "holes": 0, "refused": 1, "samples": 0}]


async def test_a_server_with_few_continuation_points_is_asked_for_fewer_at_once() -> None:
    """It has two to give: whoever comes third is refused, however often it is asked."""
    times = tuple(BEGAN + n * SECOND for n in range(1, 21))

    def script(_: int) -> bytes:
        bodies = []
        for place, node in enumerate(device.wire.asked[-1].NodesToRead):
            if node.ContinuationPoint:
                bodies.append(one(ticks=times[10:]))
            elif place < 2:
                bodies.append(one(point=b"p", ticks=times[:10]))
            else:
                bodies.append(one(CODES.BadNoContinuationPoints))
        return whole(bodies)

    device = Device(script, columns=5)
    _, samples = await read(await device.after_an_outage())
    assert samples == 5 * len(times)
    assert device.holes == []
    assert device.told == [{"device": "press", "holes": 5, "refused": 0, "samples": samples}]


async def test_a_request_that_one_node_spoils_is_sent_for_each_alone() -> None:
    def script(_: int) -> bytes:
        nodes = device.wire.asked[-1].NodesToRead
        if any(node.NodeId.Identifier == 2 for node in nodes):
            raise DeviceRefused("no", hint="none", status=CODES.BadUserAccessDenied)
        return whole([one(ticks=(BEGAN + SECOND,)) for _ in nodes])

    device = Device(script, columns=3)
    _, samples = await read(await device.after_an_outage())
    assert samples == 2
    assert device.told == [{"device": "press", "holes": 2, "refused": 1, "samples": 2}]
