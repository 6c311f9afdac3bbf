"""The OPC UA driver against node-opcua: what it browses, parts of values, events, history."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
import pytest_asyncio
from asyncua import ua

from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua.codec import publish_response
from forebay.drivers.opcua.connection import Connection
from forebay.drivers.opcua.history import FROM_HISTORY, VALUES_AT_ONCE
from forebay.errors import DeviceError, DeviceRefused, WriteInDoubt
from forebay.events import EVENTS_REFUSED, HISTORY_READ
from forebay.model import Quality, Stream, ValueType
from support.node_opcua import NAMESPACE, NodeOpcua
from support.opcua import connected, device, read_once
from support.proxy import Proxy
from support.seams import system_seams
from support.streams import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.drivers.opcua.driver import OpcUaDriver
    from forebay.interfaces import DeviceSpec, Found
    from forebay.model import Batch, Sample

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WAIT_S = 30.0
BAD_INDEX_RANGE_NO_DATA = 0x8037_0000


def node(name: str, part: str = "") -> str:
    return f"nsu={NAMESPACE};s={name}" + (f";at={part}" if part else "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as running:
        yield running


async def found(driver: OpcUaDriver, pattern: str) -> dict[str, Found]:
    return {row.path: row async for row in driver.browse(pattern)}


async def test_a_server_of_another_make_is_browsed_within_its_limits(server: NodeOpcua) -> None:
    async with connected(device(server.endpoint, {})) as driver:
        everything = await found(driver, "**")
        own = await found(driver, "Server/**")
    assert {f"Press/V{n}" for n in range(200)} <= set(everything)
    assert len(own) > 500
    logged = everything["Press/Logged"]
    assert (logged.type, logged.unit) == (ValueType.FLOAT64, "\u00b0C")
    assert (logged.description, logged.writable) == ("Logged of the press", True)
    assert everything["Press/Add"].kind == "method"
    assert everything["Press/Matrix[1,2]"].address == node("Matrix", "[1,2]")
    assert everything["Press/Structure.Name"].type is ValueType.STRING
    assert everything["Press/When"].type is ValueType.INT64


PARTS = {
    "a0": (node("Array", "[0]"), "float64", 1.0),
    "a2": (node("Array", "[2]"), "float64", 3.0),
    "m": (node("Matrix", "[1,2]"), "int32", 23),
    "name": (node("Structure", "Name"), "string", "a"),
    "text": (node("Structure", "Description"), "string", "x"),
    "product": ("i=2256;at=BuildInfo.ProductName", "string", "NodeOPCUA-Server"),
    "state": ("i=2256;at=State", "int32", 0),
    "when": (node("When"), "int64", 0),
}
NOT_THERE = {
    "a3": (node("Array", "[3]"), "float64", BAD_INDEX_RANGE_NO_DATA),
    "flat": (node("Matrix", "[1]"), "int32", Quality.BAD_NOT_SUPPORTED),
    "field": (node("Structure", "Nope"), "string", Quality.BAD_NOT_SUPPORTED),
    "plain": (node("Level", "[0]"), "float64", Quality.BAD_NOT_SUPPORTED),
    "whole": (node("Array"), "float64", Quality.BAD_NOT_SUPPORTED),
    "type": (node("Array", "[1]"), "int32", Quality.BAD_TYPE_MISMATCH),
    "nowhere": (node("Nope", "[1]"), "int32", Quality.BAD_NODE_ID_UNKNOWN),
    "too": (node("Nope", "[2]"), "int32", Quality.BAD_NODE_ID_UNKNOWN),
}


def parts_spec(server: NodeOpcua, **settings: Any) -> DeviceSpec:
    tags = {name: (address, kind) for name, (address, kind, _) in (PARTS | NOT_THERE).items()}
    return device(server.endpoint, tags, **settings)


@pytest.mark.parametrize("timestamps", ["source", "gateway"])
async def test_parts_of_values_are_polled(server: NodeOpcua, timestamps: str) -> None:
    spec = parts_spec(server, timestamps=timestamps)
    async with connected(spec) as driver:
        samples = await read_once(driver, spec)
    assert {name: samples[name].value for name in PARTS} == {n: v for n, (_, _, v) in PARTS.items()}
    assert {name: samples[name].quality for name in NOT_THERE} == {
        n: q for n, (_, _, q) in NOT_THERE.items()
    }


async def test_parts_of_one_node_share_one_monitored_item(
    server: NodeOpcua, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parts_spec(server)
    handles: set[int] = set()

    def watched(body: bytes) -> Any:
        notification = publish_response(body)
        for values in notification.data:
            handles.update(values.handles.tolist())
        return notification

    monkeypatch.setattr("forebay.drivers.opcua.subscription.publish_response", watched)
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.1}) as listener:
        await listener.until(lambda got: {s.tag.name for s in got} == set(PARTS | NOT_THERE))
    assert {n: listener.values(n)[0] for n in PARTS} == {n: v for n, (_, _, v) in PARTS.items()}
    addresses = {tag.address.partition(";at=")[0] for tag in spec.schemas[0].tags}
    assert len(handles) <= len(addresses)


class Told:
    """Takes what a driver streams without any group, as rows of its events."""

    def __init__(self, driver: OpcUaDriver) -> None:
        self.rows: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._driver = driver
        self.task = asyncio.create_task(self._run(), name="test.told")

    async def _run(self) -> None:
        async for batch in self._driver.stream({}):
            async with self._news:
                self.rows += rows(batch)
                self._news.notify_all()

    async def until(self, *messages: str) -> None:
        async def wait() -> None:
            async with self._news:
                await self._news.wait_for(
                    lambda: set(messages) <= {row["message"] for row in self.rows}
                )

        await asyncio.wait_for(wait(), WAIT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def rows(batch: Batch) -> list[dict[str, Any]]:
    assert batch.stream is Stream.EVENTS
    samples = list(batch.iter_samples())
    width = len(batch.schema.tags)
    return [
        {"time_ns": int(batch.times_ns[row])}
        | {s.tag.name: s.value for s in samples[row * width : (row + 1) * width]}
        for row in range(batch.rows)
    ]


HIGH_HIGH = "Condition is 130.000 and state is HighHigh"
HIGH = "Condition is 110.000 and state is High"
OVER = "Back to normal"


async def test_events_and_alarms_are_told_once_and_known_after_an_outage(
    server: NodeOpcua,
) -> None:
    spec = device(server.endpoint, {}, events={"min_severity": 100, "period": 0.1})
    line = SharedLine("press", system_seams().clock)
    await server.set("Temp", 130.0)
    async with connected(spec, line=line) as driver, Told(driver) as told:
        await told.until(HIGH_HIGH)
        assert driver.listens
        await server.event("not worth it", 99)
        await server.event("door open", 300)
        await server.set("Temp", 50.0)
        await told.until("door open", OVER)
        first = told.rows
    active = first[0]
    assert (active["message"], active["refresh"], active["active"]) == (HIGH_HIGH, True, True)
    assert (active["type"], active["condition"]) == ("ExclusiveLimitAlarmType", "TempAlarm")
    assert (active["limit"], active["retain"], active["acked"]) == ("HighHigh", True, False)
    assert active["condition_node"].startswith(f"nsu={NAMESPACE};")
    over = next(row for row in first if row["message"] == OVER)
    assert (over["active"], over["severity"], over["refresh"]) == (False, 0, False)
    assert "not worth it" not in {row["message"] for row in first}
    door = next(row for row in first if row["message"] == "door open")
    assert (door["condition"], door["severity"], door["source"]) == (None, 300, "Press")
    assert abs(door["time_ns"] - over["time_ns"]) < WAIT_S * 1e9
    await server.set("Temp", 110.0)  # while nobody listens
    async with connected(spec, line=line) as driver, Told(driver) as told:
        await told.until(HIGH)
        await server.event("still here", 300)
        await told.until("still here")
        second = told.rows
    again = next(row for row in second if row["message"] == HIGH)
    assert (again["refresh"], again["active"]) == (True, True)
    ids = [row["id"] for row in first + second]
    assert len(ids) == len(set(ids))
    await server.set("Temp", 50.0)


async def test_only_the_event_types_that_are_wanted(server: NodeOpcua) -> None:
    events = {"types": ["i=2915"], "refresh": False, "period": 0.1}  # AlarmConditionType
    await server.set("Temp", 50.0)
    async with (
        connected(device(server.endpoint, {}, events=events)) as driver,
        Told(driver) as told,
    ):
        for round_ in range(100):  # the subscription stands at some moment
            await server.event(f"door {round_}", 300)
            await server.set("Temp", 130.0)
            await server.set("Temp", 50.0)
            try:
                async with asyncio.timeout(0.5):
                    await told.until(OVER)
            except TimeoutError:
                continue
            break
    assert told.rows
    assert {row["type"] for row in told.rows} == {"ExclusiveLimitAlarmType"}


async def test_a_notifier_that_tells_nothing_is_told_of(server: NodeOpcua) -> None:
    seams = system_seams()
    spec = device(
        server.endpoint,
        {"Level": (node("Level"), "float64")},
        events={"notifier": node("Nope"), "period": 0.1},
    )
    async with (
        connected(spec, seams) as driver,
        Listener(driver, {spec.schemas[0]: 0.1}) as listener,
    ):
        await listener.until(lambda _: listener.values("Level"))
    assert seams.events.count(EVENTS_REFUSED, device="press") == 1


async def outage(proxy: Proxy, listener: Listener) -> None:
    """Cut the line, and wait until the driver says so."""
    proxy.cut()
    with pytest.raises(DeviceError):
        await asyncio.wait_for(listener.task, WAIT_S)


async def test_what_an_outage_cost_is_read_from_history(server: NodeOpcua) -> None:
    """Every value of the hole comes once, at its exact time, and is marked."""
    count = 2 * VALUES_AT_ONCE + 17
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    times = [began + timedelta(milliseconds=10 * n) for n in range(count + 1)]
    texts = [t.isoformat(timespec="milliseconds").replace("+00:00", "Z") for t in times]
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    tags = {name: (node(name), "float64") for name in ("Logged", "Level")}
    await server.set("Logged", 0.0, time=texts[0])
    async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
        spec = device(f"opc.tcp://{proxy.address}", tags, history=True)
        periods = {spec.schemas[0]: 0.1}
        async with (
            connected(spec, seams, line) as driver,
            Listener(driver, periods) as listener,
        ):
            await listener.until(lambda _: listener.values("Logged") and listener.values("Level"))
            await outage(proxy, listener)
        for n in range(1, count + 1):
            status = "UncertainSensorNotAccurate" if n == 7 else "Good"
            await server.set("Logged", float(n), status=status, time=texts[n])
        async with (
            connected(spec, seams, line) as driver,
            Listener(driver, periods) as listener,
        ):
            await listener.until(lambda _: len(listener.values("Logged")) >= count)
            await server.set("Logged", -1.0)
            await listener.until(lambda _: -1.0 in listener.values("Logged"))
    got = [s for s in listener.samples if s.tag.name == "Logged"]
    live = [s for s in got if not s.quality & FROM_HISTORY]
    history = [s for s in got if s.quality & FROM_HISTORY]
    assert [s.value for s in live] == [float(count), -1.0]
    assert [s.value for s in history] == [float(n) for n in range(1, count)]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert [s.time_ns for s in history] == [
        (t - epoch) // timedelta(milliseconds=1) * 10**6 for t in times[1:count]
    ]
    assert history[6].quality == 0x4093_0000 | FROM_HISTORY
    assert {s.quality for n, s in enumerate(history) if n != 6} == {FROM_HISTORY}
    assert seams.events.count(HISTORY_READ, device="press") == 1


async def test_holes_of_several_nodes_are_filled_together_and_none_takes_anothers_values(
    server: NodeOpcua, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes two nodes in a request, and says so."""
    monkeypatch.setattr("forebay.drivers.opcua.history.VALUES_AT_ONCE", 10)
    asked: list[int] = []

    async def counted(self: Connection, request: Any, doing: str) -> bytes:
        if isinstance(request, ua.HistoryReadRequest):
            asked.append(len(request.Parameters.NodesToRead))
        return await ask(self, request, doing)

    ask = Connection.ask
    monkeypatch.setattr(Connection, "ask", counted)
    names, count = ("Logged", "Logged2", "Logged3"), 250
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    texts = [
        (began + timedelta(milliseconds=10 * n)).isoformat().replace("+00:00", "Z")
        for n in range(count + 1)
    ]
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
        spec = device(
            f"opc.tcp://{proxy.address}",
            {name: (node(name), "float64") for name in names},
            history=True,
        )
        periods = {spec.schemas[0]: 0.1}
        for name in names:
            await server.set(name, 0.5, time=texts[0])
        async with connected(spec, seams, line) as driver, Listener(driver, periods) as first:
            await first.until(lambda _: all(first.values(name) for name in names))
            await outage(proxy, first)
        for n in range(1, count + 1):
            for place, name in enumerate(names):
                await server.set(name, 1000.0 * place + n, time=texts[n])
        async with connected(spec, seams, line) as driver, Listener(driver, periods) as second:
            await second.until(lambda _: all(len(second.values(name)) >= count for name in names))
    for place, name in enumerate(names):
        filled = [
            s.value for s in second.samples if s.tag.name == name and s.quality & FROM_HISTORY
        ]
        assert filled == [1000.0 * place + n for n in range(1, count)]
    assert max(asked) == 2
    assert asked.count(2) > 10


async def test_a_hole_that_is_being_filled_when_the_line_breaks_is_finished_after_that(
    server: NodeOpcua, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.drivers.opcua.history.VALUES_AT_ONCE", 10)
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    got: list[Sample] = []
    async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
        spec = device(
            f"opc.tcp://{proxy.address}", {"x": (node("Logged"), "float64")}, history=True
        )
        periods = {spec.schemas[0]: 0.1}
        await server.set("Logged", 0.0)
        async with connected(spec, seams, line) as driver, Listener(driver, periods) as listener:
            await listener.until(lambda _: 0.0 in listener.values("x"))
            await outage(proxy, listener)
        for n in range(1, 301):
            await server.set("Logged", float(n))
        async with connected(spec, seams, line) as driver, Listener(driver, periods) as listener:
            await listener.until(lambda _: len(listener.values("x")) > 50)
            await outage(proxy, listener)
            got += listener.samples
        assert len(got) < 300
        async with connected(spec, seams, line) as driver, Listener(driver, periods) as listener:
            await listener.until(lambda now: 299.0 in [s.value for s in [*got, *now]])
            got += listener.samples
    history = [s.value for s in got if s.quality & FROM_HISTORY]
    assert history == [float(n) for n in range(1, 300)]


@pytest.mark.parametrize("method", [f"{node('Press')} {node('Add')}", "Press/Add"])
async def test_a_method_is_called_with_arguments_of_its_own_types(
    server: NodeOpcua, method: str
) -> None:
    async with connected(device(server.endpoint, {})) as driver:
        assert await driver.call(method, [2, 0.5]) == (2.5,)
        assert await driver.call(method, [3.0, 4]) == (7.0,)


REFUSED_CALLS = [
    ("Press/Add", [1], "takes 2 arguments"),
    ("Press/Add", [1.5, 1], "argument a is a Int32"),
    ("Press/Add", ["1", 1], "argument a is a Int32"),
    ("Press/Add", [1, True], "argument b is a Double"),
    ("Press/Add", [-1, 1.0], "BadOutOfRange"),
    ("Press/Nope", [], "there is no 'Nope'"),
    (f"{node('Press')} {node('Level')}", [], "Bad"),
    (f"{node('Press')} nsu=urn:nobody;s=Add", [], "does not know this namespace"),
]


@pytest.mark.parametrize(("method", "arguments", "words"), REFUSED_CALLS)
async def test_a_call_that_cannot_be_is_refused(
    server: NodeOpcua, method: str, arguments: list[Any], words: str
) -> None:
    async with connected(device(server.endpoint, {})) as driver:
        with pytest.raises(DeviceRefused, match=words):
            await driver.call(method, arguments)


async def test_a_call_that_is_late_when_the_method_is_known_is_not_sent(
    server: NodeOpcua,
) -> None:
    async with connected(device(server.endpoint, {})) as driver:
        assert await driver.call_by("Press/Add", [1, 1.0], time.monotonic() + 60.0) == (2.0,)
        before = await server.calls()
        with pytest.raises(DeviceRefused, match="too late"):
            await driver.call_by("Press/Add", [1, 1.0], time.monotonic())
        assert await server.calls() == before


async def test_a_call_that_gets_no_answer_is_in_doubt(server: NodeOpcua) -> None:
    async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
        spec = device(f"opc.tcp://{proxy.address}", {}, timeout=2.0)
        async with connected(spec) as driver:
            assert await driver.call("Press/Add", [1, 1.0]) == (2.0,)
            proxy.mute = True
            before = await server.calls()
            with pytest.raises(WriteInDoubt):
                await driver.call("Press/Add", [1, 1.0])
            assert await server.calls() == before + 1
