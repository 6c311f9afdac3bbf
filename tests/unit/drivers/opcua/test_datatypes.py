"""What a server says of its own data types, and values that are read by it."""

from __future__ import annotations

from typing import Any

import asyncua.ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

from forebay.drivers.opcua.datatypes import STRUCTURE, DataTypes
from forebay.drivers.opcua.explorer import Explorer
from forebay.model import Quality
from support.asyncua_server import NAMESPACE, SmallServer, small_server
from support.opcua import connected, device, read_once
from support.streams import Listener

ua: Any = asyncua.ua


async def plant(server: SmallServer) -> dict[str, Any]:
    """Types of a plant's own, one within the other, and variables of them."""
    of = server.server
    mode = await new_enum(of, server.index, "Mode", ["Off", "On", "Broken"])
    point, _ = await new_struct(
        of,
        server.index,
        "Point",
        [
            new_struct_field("X", ua.VariantType.Double),
            new_struct_field("Name", ua.VariantType.String, optional=True),
            new_struct_field("Y", ua.VariantType.Float, optional=True),
        ],
    )
    station, _ = await new_struct(
        of,
        server.index,
        "Station",
        [
            new_struct_field("Mode", mode),
            new_struct_field("Counts", ua.VariantType.Int32, array=True),
            new_struct_field("Where", point),
            new_struct_field("Since", ua.VariantType.DateTime),
        ],
    )
    made = await of.load_data_type_definitions()
    return made | {"types": {"Mode": mode.nodeid, "Point": point.nodeid, "Station": station.nodeid}}


def value_of(made: dict[str, Any], counts: list[int]) -> Any:
    where = made["Point"](X=1.5, Name=None, Y=2.5)
    return made["Station"](Mode=made["Mode"].Broken, Counts=counts, Where=where)


PARTS = {
    "mode": ("Mode", "int32", 2),
    "count": ("Counts[1]", "int32", 20),
    "x": ("Where.X", "float64", 1.5),
    "y": ("Where.Y", "float32", 2.5),
}


async def test_types_of_a_plants_own_are_read_field_by_field() -> None:
    async with small_server() as server:
        made = await plant(server)
        await server.add({"Station": value_of(made, [10, 20])})
        address = f"nsu={NAMESPACE};s=Station;at="
        tags = {name: (address + part, kind) for name, (part, kind, _) in PARTS.items()}
        tags["name"] = (address + "Where.Name", "string")
        tags["far"] = (address + "Counts[2]", "int32")
        spec = device(server.endpoint, tags)
        async with connected(spec) as driver:
            samples = await read_once(driver, spec)
            async with Listener(driver, {spec.schemas[0]: 0.05}) as listener:
                await listener.until(lambda got: len(got) >= len(tags))
                changed = ua.DataValue(ua.Variant(value_of(made, [1, 2, 3])))
                await server.set("Station", changed)
                await listener.until(lambda _: listener.values("far")[-1] == 3)
            browsed = {row.path: row async for row in driver.browse("Station")}
    assert {name: samples[name].value for name in PARTS} == {n: v for n, (*_, v) in PARTS.items()}
    assert samples["name"].quality == 0x809B_0000  # BadNoData: left out
    assert samples["far"].quality == 0x8037_0000  # BadIndexRangeNoData
    assert listener.values("count") == [20, 2]
    assert browsed["Station.Where.X"].address == address + "Where.X"
    assert browsed["Station"].type is None


async def test_a_type_comes_down_to_what_is_built_in() -> None:
    async with small_server(Level=1.0) as server:
        types = (await plant(server))["types"]
        async with connected(device(server.endpoint, {})) as driver:
            learned = DataTypes(Explorer(driver._connection))  # noqa: SLF001 - what it speaks over
            duration, utc, number, nothing = (ua.NodeId(n) for n in (290, 294, 26, 999_999))
            kinds = await learned.kinds([*types.values(), duration, utc, number, nothing])
            layout = await learned.structure(types["Station"])
            assert await learned.structure(duration) is None
    assert [kinds[one] for one in types.values()] == [6, STRUCTURE, STRUCTURE]
    assert [kinds[one] for one in (duration, utc, number, nothing)] == [11, 13, 0, 0]
    assert layout is not None
    assert [field.name for field in layout.fields] == ["Mode", "Counts", "Where", "Since"]
    inner = layout.fields[2].inner
    assert inner is not None
    assert (inner.optional, [field.optional for field in inner.fields]) == (
        True,
        [False, True, True],
    )


async def test_a_structure_that_the_server_does_not_explain_is_not_supported() -> None:
    async with small_server(Argument=ua.Argument(Name="a")) as server:
        tags = {"name": (f"nsu={NAMESPACE};s=Argument;at=NoSuchField", "string")}
        spec = device(server.endpoint, tags)
        async with connected(spec) as driver:
            samples = await read_once(driver, spec)
    assert samples["name"].quality == Quality.BAD_NOT_SUPPORTED
