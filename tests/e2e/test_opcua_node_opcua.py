"""The OPC UA driver against node-opcua: its limits, its queues, its death and return.

One server for the module, since it needs seconds to start; tests that hurt it stand last and leave
it up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from forebay.errors import DeviceUnreachable
from forebay.events import FILTER_REFUSED
from forebay.model import Quality
from support.node_opcua import NAMESPACE, NodeOpcua
from support.opcua import connected, device, read_once
from support.seams import system_seams
from support.streams import Listener, other_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

UNCERTAIN_SENSOR_NOT_ACCURATE = 0x4093_0000
OVERFLOW = 0x0480
"""InfoType DataValue and the bit Overflow (Part 4, 7.39)."""
KEEPALIVE_S = 0.5
SCALARS = {
    "Level": ("float64", 0.5),
    "Flag": ("bool", True),
    "Small": ("int8", -5),
    "Octet": ("uint8", 200),
    "Short": ("int16", -300),
    "Word": ("uint16", 60_000),
    "Int": ("int32", -70_000),
    "UInt": ("uint32", 4_000_000_000),
    "Long": ("int64", 7),
    "ULong": ("uint64", 9),
    "Single": ("float32", 1.25),
    "Text": ("string", "press 1 \u00e4"),
}


def node(name: str) -> str:
    return f"nsu={NAMESPACE};s={name}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as running:
        yield running


def tags(*names: str) -> dict[str, tuple[str, str]]:
    return {name: (node(name), SCALARS.get(name, ("float64",))[0]) for name in names}


def ends_with(listener: Listener, name: str, value: float, _: object) -> bool:
    return listener.values(name)[-1:] == [value]


async def test_every_scalar_type_is_read(server: NodeOpcua) -> None:
    spec = device(server.endpoint, tags(*SCALARS))
    async with connected(spec) as driver:
        samples = await read_once(driver, spec)
    assert {name: (s.value, s.quality) for name, s in samples.items()} == {
        name: (value, 0) for name, (_, value) in SCALARS.items()
    }


async def test_more_nodes_than_one_request_may_ask(server: NodeOpcua) -> None:
    """The server allows 40; answers of several requests land under their own tags."""
    spec = device(server.endpoint, tags(*(f"V{n}" for n in range(200))))
    async with connected(spec) as driver:
        samples = await read_once(driver, spec)
    assert {name: s.value for name, s in samples.items()} == {f"V{n}": float(n) for n in range(200)}


async def test_a_limit_that_nobody_told_is_learned(server: NodeOpcua) -> None:
    spec = device(server.endpoint, tags(*(f"V{n}" for n in range(200))))
    async with connected(spec) as driver:
        connection = driver._connection  # noqa: SLF001 - as if the server had kept it to itself
        connection.max_nodes_per_read = connection.max_items_per_call = 150
        samples = await read_once(driver, spec)
        assert connection.max_nodes_per_read <= 40
        async with Listener(driver, {spec.schemas[0]: 0.1}) as listener:
            await listener.until(lambda found: len(found) >= 200)
    assert {s.value for s in samples.values()} == {float(n) for n in range(200)}
    assert {s.tag.name: s.value for s in listener.samples} == {
        f"V{n}": float(n) for n in range(200)
    }


async def test_uncertain_quality_and_source_time_are_kept(server: NodeOpcua) -> None:
    spec = device(server.endpoint, tags("Level"))
    status, when = "UncertainSensorNotAccurate", "2026-01-02T03:04:05.678Z"
    await server.set("Level", 7.5, status=status, time=when)
    try:
        async with connected(spec) as driver:
            polled = (await read_once(driver, spec))["Level"]
            async with Listener(driver, {spec.schemas[0]: 0.1}) as listener:
                await listener.until(lambda found: found)
    finally:
        await server.set("Level", 0.5)
    for sample in (polled, listener.samples[0]):
        assert (sample.value, sample.quality) == (7.5, UNCERTAIN_SENSOR_NOT_ACCURATE)
        assert sample.time_ns == 1_767_323_045_678_000_000


async def test_bad_nodes_spare_their_neighbours_in_a_subscription(server: NodeOpcua) -> None:
    given = tags("Level", "Nope", "Array", "Structure", "When") | {
        "none": ("nsu=urn:x;s=a", "int8")
    }
    spec = device(server.endpoint, given)
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.1}) as listener:
        await listener.until(lambda found: len(found) == len(given))
        await server.set("Level", 3.0)
        await listener.until(lambda _: listener.values("Level")[-1] == 3.0)
    assert {s.tag.name: s.quality for s in listener.samples} == {
        "Level": Quality.GOOD,
        "Nope": Quality.BAD_NODE_ID_UNKNOWN,
        "none": Quality.BAD_NODE_ID_UNKNOWN,
        "Array": Quality.BAD_NOT_SUPPORTED,
        "Structure": Quality.BAD_NOT_SUPPORTED,
        "When": Quality.BAD_TYPE_MISMATCH,
    }


@pytest.mark.parametrize(("queue_size", "overflows"), [(2, True), (2000, False)])
async def test_what_the_servers_queue_drops_is_marked(
    server: NodeOpcua, queue_size: int, *, overflows: bool
) -> None:
    """While the intake is shut, some 150 samples come to be; a short queue says so."""
    await server.set("Fast", -1)
    spec = device(server.endpoint, tags("Fast"), queue_size=queue_size, publish_requests=1)
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.01}) as listener:
        await listener.until(lambda found: found)
        listener.open.clear()
        await server.set("Fast", 0)
        await listener.until(lambda _: listener.values("Fast")[-1] != -1.0)
        await server.ramp("Fast", 1, 1500)
        listener.open.set()
        await listener.until(lambda _: listener.values("Fast")[-1] == 1500.0)
    marked = [s for s in listener.samples if s.quality & OVERFLOW == OVERFLOW]
    assert bool(marked) == overflows
    assert all(sample.value is not None for sample in marked)
    values = listener.values("Fast")
    assert values == sorted(values), "out of order"  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("name", "deadband", "steps", "heard"),
    [
        ("V3", "5", (12.0, 14.0, 20.0), (12.0, 20.0)),
        ("Temp", "10 %", (60.0, 75.0, 85.0), (60.0, 85.0)),
    ],
)
async def test_the_server_tells_no_change_that_is_too_small(
    server: NodeOpcua, name: str, deadband: str, steps: tuple[float, ...], heard: tuple[float, ...]
) -> None:
    """10 % of the range of Temp, which is from 0 to 200, are 20."""
    spec = device(server.endpoint, tags(name), columns={name: {"deadband": deadband}})
    plain = device(server.endpoint, tags(name))
    await server.set(name, steps[0])
    async with (
        connected(spec) as driver,
        Listener(driver, {spec.schemas[0]: 0.02}) as listener,
        connected(plain) as other,
        Listener(other, {plain.schemas[0]: 0.5}) as slower,
    ):
        await listener.until(lambda found: found)
        for value in steps[1:]:
            await server.set(name, value)
            await slower.until(partial(ends_with, slower, name, value))
        await listener.until(lambda _: listener.values(name)[-1] == steps[-1])
    assert tuple(listener.values(name)) == heard


async def test_a_share_of_no_range_is_told_and_every_change_comes(server: NodeOpcua) -> None:
    seams = system_seams()
    spec = device(server.endpoint, tags("V4"), columns={"V4": {"deadband": "10 %"}})
    await server.set("V4", 4.0)
    async with (
        connected(spec, seams) as driver,
        Listener(driver, {spec.schemas[0]: 0.1}) as listener,
    ):
        await listener.until(lambda found: found)
        await server.set("V4", 4.5)
        await listener.until(lambda _: listener.values("V4") == [4.0, 4.5])
    assert seams.events.count(FILTER_REFUSED, device="press") == 1


async def test_a_value_told_again_comes_again_if_its_time_is_what_counts(server: NodeOpcua) -> None:
    spec = device(server.endpoint, tags("V5"), columns={"V5": {"trigger": "timestamp"}})
    await server.set("V5", 1.0, time="2026-01-02T03:04:05.000Z")
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.1}) as listener:
        await listener.until(lambda found: found)
        await server.set("V5", 1.0, time="2026-01-02T03:04:06.000Z")
        await listener.until(lambda _: listener.values("V5") == [1.0, 1.0])
    first, second = listener.samples
    assert second.time_ns - first.time_ns == 10**9


async def test_nothing_is_acknowledged_before_it_was_taken(server: NodeOpcua) -> None:
    """While the intake is shut, at most `publish_requests` notifications leave the server."""
    await server.set("Fast", -1)
    spec = device(server.endpoint, tags("Fast"), queue_size=1000, publish_requests=2)
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.1}) as listener:
        await listener.until(lambda found: found)
        listener.open.clear()
        await server.set("Fast", 0)
        await listener.until(lambda _: listener.values("Fast")[-1] == 0.0)
        for value in range(1, 6):
            await server.set("Fast", value)
        feed: Any = driver._feed  # noqa: SLF001 - what waits in memory
        assert feed._answers.qsize() <= 2  # noqa: SLF001
        assert listener.values("Fast") == [-1.0, 0.0]
        listener.open.set()
        await listener.until(lambda _: listener.values("Fast")[-1] == 5.0)


async def test_poll_and_subscription_share_a_session(server: NodeOpcua) -> None:
    spec = device(server.endpoint, tags("Level", "Flag"))
    async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.1}) as listener:
        await listener.until(lambda found: len(found) == 2)
        for _ in range(5):
            assert (await read_once(driver, spec))["Flag"].value is True


async def test_a_silent_server_is_found_out(server: NodeOpcua) -> None:
    """SIGSTOP leaves the connection open and nobody behind it."""
    before = other_tasks()
    spec = device(server.endpoint, tags("Level"), timeout=1.0, keepalive=KEEPALIVE_S)
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: 0.1})
        await listener.until(lambda found: found)
        os.kill(server.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        try:
            with pytest.raises(DeviceUnreachable):
                await asyncio.wait_for(listener.task, 20)
            assert time.monotonic() - stopped_s < 3 * KEEPALIVE_S + 1.5
            reader = driver.reader(spec.schemas[0], ())
            with pytest.raises(DeviceUnreachable):
                await reader.read()
            closing_s = time.monotonic()
            await driver.close()
            assert time.monotonic() - closing_s < 2.0
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert other_tasks() == before


async def test_a_silent_server_does_not_hold_up_close(server: NodeOpcua) -> None:
    before = other_tasks()
    spec = device(server.endpoint, tags("Level"), keepalive=60.0)
    async with connected(spec) as driver:
        async with Listener(driver, {spec.schemas[0]: 0.1}) as listener:
            await listener.until(lambda found: found)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            closing_s = time.monotonic()
            await driver.close()
            assert time.monotonic() - closing_s < 2.0
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert other_tasks() == before


async def test_a_restart_heals_though_the_namespace_has_moved(server: NodeOpcua) -> None:
    before = other_tasks()
    spec = device(server.endpoint, tags("Level", "V1"))
    index = server.facts["namespace"]
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: 0.1})
        await listener.until(lambda found: len(found) == 2)
        await server.kill()
        with pytest.raises(DeviceUnreachable):
            await asyncio.wait_for(listener.task, 20)
    assert other_tasks() == before
    with pytest.raises(DeviceUnreachable):
        async with connected(spec):
            pass
    await server.start(extra_namespaces=3)
    assert server.facts["namespace"] == index + 3
    async with connected(spec) as driver:
        assert (await read_once(driver, spec))["V1"].value == 1.0
        async with Listener(driver, {spec.schemas[0]: 0.1}) as listener:
            await listener.until(lambda found: len(found) == 2)
            await server.set("Level", 4.25)
            await listener.until(lambda _: listener.values("Level")[-1] == 4.25)
