"""The walk over a small server: what it says, and that it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncua.ua
import pytest

from forebay.drivers.opcua import browse as browsing
from forebay.errors import DeviceRefused, DeviceUnreachable
from forebay.model import Quality, ValueType
from support.asyncua_server import NAMESPACE, SmallServer, small_server
from support.opcua import connected, device

if TYPE_CHECKING:
    from forebay.drivers.opcua.driver import OpcUaDriver
    from forebay.interfaces import Found

ua: Any = asyncua.ua


async def found(driver: OpcUaDriver, pattern: str) -> dict[str, Found]:
    rows = [row async for row in driver.browse(pattern)]
    assert len({row.path for row in rows}) == len(rows)
    return {row.path: row for row in rows}


async def found_into(rows: list[Found], driver: OpcUaDriver, pattern: str) -> None:
    async for row in driver.browse(pattern):
        rows.append(row)  # noqa: PERF401 - what came before an error counts


async def plant(server: SmallServer) -> Any:
    """Line, with Oil below it that leads back to Line."""
    line = await server.server.nodes.objects.add_folder(server.index, "Line")
    oil = await line.add_folder(server.index, "Oil")
    temp = await oil.add_variable(server.index, "Temp;at=1", 20.5)
    await temp.set_writable()
    await temp.add_property(
        0, "EngineeringUnits", ua.EUInformation("urn:u", 4408652, ua.LocalizedText("\u00b0C"))
    )
    await oil.add_variable(server.index, "l/min", 3, ua.VariantType.Int16)
    await oil.add_variable(server.index, "Any", 7, ua.VariantType.UInt32, ua.NodeId(24))
    back = ua.ReferenceDescription(
        ua.NodeId(ua.ObjectIds.Organizes),
        IsForward=True,
        NodeId=line.nodeid,
        BrowseName=ua.QualifiedName("Line", server.index),
        NodeClass=ua.NodeClass.Object,
    )
    space = server.server.iserver.aspace  # its services refuse to make a loop; devices have them
    space[oil.nodeid].references.append(back)
    await line.add_method(server.index, "Stop", lambda _: [])
    return line


async def test_it_says_what_a_tag_list_needs() -> None:
    async with small_server(Many=[1.5, 2.5], Grid=[[1, 2], [3, 4]]) as server:
        await plant(server)
        async with connected(device(server.endpoint, {})) as driver:
            top = await found(driver, "")
            oil = await found(driver, "Line/Oil/*")
            many = await found(driver, "[MG]*")
    assert {"Server", "Line", "Many", "Grid"} <= set(top)
    assert top["Line"].kind == "folder"
    temp = oil["Line/Oil/Temp;at=1"]
    assert (temp.type, temp.unit, temp.writable) == (ValueType.FLOAT64, "\u00b0C", True)
    assert temp.address.startswith(f"nsu={NAMESPACE};")
    assert oil["Line/Oil/l&/min"].type is ValueType.INT16
    assert oil["Line/Oil/Any"].type is ValueType.UINT32
    assert many["Many"].type is None
    assert many["Many[1]"].address == f"nsu={NAMESPACE};s=Many;at=[1]"
    assert many["Grid[1,0]"].type is ValueType.INT64


async def test_a_loop_ends_and_the_servers_own_nodes_are_asked_for_by_name() -> None:
    async with small_server() as server:
        await plant(server)
        async with connected(device(server.endpoint, {})) as driver:
            everything = await found(driver, "**")
            status = await found(driver, "Server/ServerStatus/State")
    assert "Line/Stop" in everything
    assert everything["Line/Stop"].kind == "method"
    assert "Server" in everything
    assert not any(path.startswith("Server/") for path in everything)
    assert {path for path in everything if path.startswith("Line/Oil/Line")} <= {"Line/Oil/Line"}
    assert status["Server/ServerStatus/State"].type is ValueType.INT32


async def test_what_is_listed_can_be_read() -> None:
    async with small_server(Many=[1.5, 2.5], Grid=[[1, 2], [3, 4]]) as server:
        await plant(server)
        async with connected(device(server.endpoint, {})) as driver:
            rows = (await found(driver, "**")) | (await found(driver, "Server/ServerStatus/**"))
        tags = {path: (row.address, row.type.value) for path, row in rows.items() if row.type}
        spec = device(server.endpoint, tags)
        async with connected(spec) as driver:
            scan = await driver.reader(spec.schemas[0], ()).read()
    samples = {s.tag.name: s for s in scan.batch.iter_samples()}
    assert set(samples) == set(tags)
    told = (Quality.GOOD, Quality.BAD_WAITING_FOR_INITIAL_DATA)
    assert not {name: hex(s.quality) for name, s in samples.items() if s.quality not in told}
    assert samples["Grid[1,0]"].value == 3
    assert samples["Line/Oil/Temp;at=1"].value == 20.5


async def test_long_lists_come_in_pieces_that_the_server_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("forebay.drivers.opcua.explorer._REFERENCES_AT_ONCE", 7)
    monkeypatch.setattr(browsing, "_AT_ONCE", 5)
    values = {f"V{n:03}": float(n) for n in range(60)}
    async with small_server(**values) as server, connected(device(server.endpoint, {})) as driver:
        driver._connection.max_nodes_per_read = 3  # noqa: SLF001 - as a small device has it
        rows = await found(driver, "V*")
    assert set(rows) == {f"V{n:03}" for n in range(60)}
    assert all(row.type is ValueType.FLOAT64 for row in rows.values())


@pytest.mark.parametrize(("pattern", "listed"), [("**", 5), ("**/nowhere", 0)])
async def test_what_is_too_much_ends_with_an_error_whether_it_is_listed_or_not(
    monkeypatch: pytest.MonkeyPatch, pattern: str, listed: int
) -> None:
    values = {f"V{n}": 0.0 for n in range(20)}
    rows: list[Found] = []
    async with small_server(**values) as server, connected(device(server.endpoint, {})) as driver:
        await found(driver, pattern)
        monkeypatch.setattr(browsing, "MAX_FOUND", 5)
        with pytest.raises(DeviceRefused, match="more than 5 nodes"):
            await found_into(rows, driver, pattern)
    assert len(rows) <= listed


async def test_a_pattern_that_is_none_is_refused_and_a_lost_server_told() -> None:
    async with small_server() as server, connected(device(server.endpoint, {})) as driver:
        with pytest.raises(DeviceRefused, match="64 parts"):
            await found(driver, "/".join("a" * 65))
        await driver.close()
        with pytest.raises(DeviceUnreachable):
            await found(driver, "")
