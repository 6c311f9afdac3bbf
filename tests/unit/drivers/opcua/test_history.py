"""Holes of an outage against a server that cuts its answers short and gives nothing to go on by."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncua.ua
import pytest

from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua.history import FROM_HISTORY, Hole, together
from forebay.errors import DeviceError
from forebay.events import HISTORY_READ
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device
from support.proxy import Proxy
from support.seams import system_seams
from support.streams import Listener

ua: Any = asyncua.ua
WAIT_S = 30.0


@pytest.mark.parametrize("kept", [True, False])
async def test_values_of_a_hole_come_once_at_the_times_of_the_server(
    monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    """`kept`: with a history. Without one an outage costs what it costs, and nothing is made up."""
    monkeypatch.setattr("forebay.drivers.opcua.history.VALUES_AT_ONCE", 7)
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    wrote: dict[float, int] = {}
    async with small_server(X=0.0) as server:
        node: Any = server.server.get_node(ua.NodeId("X", server.index))
        if kept:
            await server.server.historize_node_data_change(node, count=0)

        async def write(value: float) -> None:
            await node.write_value(value)
            stamped = (await node.read_data_value()).SourceTimestamp
            wrote[value] = round(stamped.timestamp() * 1e6) * 1000

        async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
            tags = {"x": (f"nsu={NAMESPACE};s=X", "float64")}
            spec = device(f"opc.tcp://{proxy.address}", tags, history=True)
            periods = {spec.schemas[0]: 0.05}
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as first:
                await first.until(lambda _: first.values("x"))
                await write(1.0)
                await first.until(lambda _: first.values("x")[-1] == 1.0)
                proxy.cut()
                with pytest.raises(DeviceError):
                    await asyncio.wait_for(first.task, WAIT_S)
            for value in range(2, 40):
                await write(float(value))
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as second:
                wanted = 38 if kept else 1
                await second.until(lambda _: len(second.values("x")) >= wanted)
                await write(-1.0)
                await second.until(lambda _: second.values("x")[-1] == -1.0)
    live = [s.value for s in second.samples if not s.quality & FROM_HISTORY]
    filled = [s for s in second.samples if s.quality & FROM_HISTORY]
    assert live == [39.0, -1.0]
    expected = [float(value) for value in range(2, 39)] if kept else []
    assert [s.value for s in filled] == expected
    assert all(abs(s.time_ns - wrote[float(str(s.value))]) < 2000 for s in filled)
    assert seams.events.count(HISTORY_READ, device="press") == int(kept)


async def test_live_values_come_though_the_history_is_empty_and_goes_on_for_ever() -> None:
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    async with small_server(X=0.0) as server:
        node: Any = server.server.get_node(ua.NodeId("X", server.index))
        await server.server.historize_node_data_change(node, count=0)
        manager: Any = server.server.iserver.history_manager
        asked: list[object] = []

        async def nothing(params: object) -> list[Any]:
            asked.append(params)
            return [ua.HistoryReadResult(ContinuationPoint=b"more", HistoryData=ua.HistoryData())]

        manager.read_history = nothing
        async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
            tags = {"x": (f"nsu={NAMESPACE};s=X", "float64")}
            spec = device(f"opc.tcp://{proxy.address}", tags, history=True)
            periods = {spec.schemas[0]: 0.05}
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as first:
                await first.until(lambda _: first.values("x"))
                await node.write_value(1.0)
                await first.until(lambda _: first.values("x")[-1] == 1.0)
                proxy.cut()
                with pytest.raises(DeviceError):
                    await asyncio.wait_for(first.task, WAIT_S)
            await node.write_value(2.0)
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as second:
                await second.until(lambda _: second.values("x"))
                async with asyncio.timeout(WAIT_S):
                    while not asked:  # noqa: ASYNC110 - the server tells nobody
                        await asyncio.sleep(0.01)
                await node.write_value(3.0)
                await second.until(lambda _: second.values("x") == [2.0, 3.0])
    assert 0 < len(asked) <= 10


@pytest.mark.parametrize("most", [0, 3])
async def test_many_nodes_are_read_at_once_and_each_comes_whole(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """As many as the server allows, `most`, 0 for any number; each with continuation points."""
    monkeypatch.setattr("forebay.drivers.opcua.history.VALUES_AT_ONCE", 4)
    names = [f"N{n}" for n in range(8)]
    seams = system_seams()
    line = SharedLine("press", seams.clock)
    asked: list[int] = []
    async with small_server(**dict.fromkeys(names, 0.0)) as server:
        limit = ua.NodeId(
            ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData
        )
        await server.server.get_node(limit).write_value(most, ua.VariantType.UInt32)
        nodes: list[Any] = [server.server.get_node(ua.NodeId(n, server.index)) for n in names]
        for node in nodes:
            await server.server.historize_node_data_change(node, count=0)
        manager: Any = server.server.iserver.history_manager
        read = manager.read_history

        async def counted(params: Any) -> Any:
            asked.append(len(params.NodesToRead))
            return await read(params)

        manager.read_history = counted
        async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
            tags = {name: (f"nsu={NAMESPACE};s={name}", "float64") for name in names}
            spec = device(f"opc.tcp://{proxy.address}", tags, history=True)
            periods = {spec.schemas[0]: 0.05}
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as first:
                for node in nodes:
                    await node.write_value(1.0)
                await first.until(lambda _: all(first.values(n)[-1:] == [1.0] for n in names))
                proxy.cut()
                with pytest.raises(DeviceError):
                    await asyncio.wait_for(first.task, WAIT_S)
            for value in range(2, 22):
                for number, node in enumerate(nodes):
                    await node.write_value(value + 100.0 * number)
            async with connected(spec, seams, line) as driver, Listener(driver, periods) as second:
                await second.until(lambda _: all(len(second.values(n)) >= 20 for n in names))
    for number, name in enumerate(names):
        filled = [
            s.value for s in second.samples if s.tag.name == name and s.quality & FROM_HISTORY
        ]
        assert filled == [value + 100.0 * number for value in range(2, 21)]
    assert max(asked) == (most or len(names))


def test_holes_of_one_request_are_alike_and_those_begun_go_first() -> None:
    second = 10_000_000
    near = [Hole(n, n * second, 100 * second + n) for n in range(5)]
    far = Hole(9, 50 * second, 100 * second)
    assert together([*near, far], 4) == near[:4]
    assert together([far, *near], 4) == [far]
    near[2].point = near[4].point = b"p"
    assert together([*near, far], 4) == [near[2], near[4]]
    near[2].alone = True
    assert together([*near, far], 4) == [near[2]]
    assert together([], 4) == []
