"""A node is written once, in its own type; what may have happened is told as a doubt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from asyncua import ua

from forebay.drivers.opcua.write import to_variant
from forebay.errors import DeviceRefused, WriteInDoubt
from forebay.model import Quality
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncua.common.node import Node

    from support.asyncua_server import SmallServer

KINDS: Mapping[str, tuple[ua.VariantType, str, Any]] = {
    "flag": (ua.VariantType.Boolean, "bool", True),
    "sbyte": (ua.VariantType.SByte, "int8", -128),
    "byte": (ua.VariantType.Byte, "uint8", 255),
    "int16": (ua.VariantType.Int16, "int16", -32768),
    "uint16": (ua.VariantType.UInt16, "uint16", 65535),
    "int32": (ua.VariantType.Int32, "int32", -(1 << 31)),
    "uint32": (ua.VariantType.UInt32, "uint32", (1 << 32) - 1),
    "int64": (ua.VariantType.Int64, "int64", -(1 << 63)),
    "uint64": (ua.VariantType.UInt64, "uint64", (1 << 64) - 1),
    "float": (ua.VariantType.Float, "float32", 1.5),
    "double": (ua.VariantType.Double, "float64", 0.1),
    "text": (ua.VariantType.String, "string", "Halter \N{LATIN SMALL LETTER U WITH DIAERESIS}"),
    "wide": (ua.VariantType.Byte, "int64", 7),
}


async def add(server: SmallServer, *, writable: bool = True) -> dict[str, Node]:
    """Add a variable of each kind."""
    folder, nodes = server.server.nodes.objects, {}
    for name, (kind, _, value) in KINDS.items():
        first: Any = "" if kind is ua.VariantType.String else type(value)()
        node_id = ua.NodeId(ua.String(name), ua.Int16(server.index))
        nodes[name] = await folder.add_variable(node_id, name, first, kind)
        if writable:
            await nodes[name].set_writable()
    return nodes


def tags() -> dict[str, tuple[str, str]]:
    return {name: (f"nsu={NAMESPACE};s={name}", column) for name, (_, column, _) in KINDS.items()}


async def test_each_type_is_written_as_the_node_has_it_and_read_back() -> None:
    async with small_server() as server:
        nodes = await add(server)
        async with connected(device(server.endpoint, tags())) as driver:
            for name, (kind, _, value) in KINDS.items():
                await driver.write(name, value)
                held = (await nodes[name].read_data_value()).Value
                assert held is not None
                assert (held.VariantType, held.Value) == (kind, value), name
                assert await driver.read_back(name) == value


async def test_what_the_node_cannot_hold_is_refused_and_nothing_is_sent() -> None:
    async with small_server() as server:
        nodes = await add(server)
        async with connected(device(server.endpoint, tags())) as driver:
            with pytest.raises(DeviceRefused, match="Byte, which cannot hold 256"):
                await driver.write("wide", 256)
        assert await nodes["wide"].read_value() == 0


async def test_a_server_that_says_no_is_believed() -> None:
    async with small_server() as server:
        await add(server, writable=False)
        wanted = {**tags(), "gone": (f"nsu={NAMESPACE};s=nowhere", "int16")}
        async with connected(device(server.endpoint, wanted)) as driver:
            with pytest.raises(DeviceRefused, match="BadUserAccessDenied"):
                await driver.write("int16", 1)
            with pytest.raises(DeviceRefused, match="writing gone: Bad"):
                await driver.write("gone", 1)


async def test_arrays_and_parts_of_values_are_refused() -> None:
    async with small_server(row=[1, 2, 3]) as server:
        wanted = {
            "row": (f"nsu={NAMESPACE};s=row", "int64"),
            "second": (f"nsu={NAMESPACE};s=row;at=[1]", "int64"),
            "lost": ("nsu=urn:nowhere;s=x", "int64"),
        }
        async with connected(device(server.endpoint, wanted)) as driver:
            for name, says in (("row", "array"), ("second", "part"), ("lost", "namespace")):
                with pytest.raises(DeviceRefused, match=says) as caught:
                    await driver.write(name, 1)
                assert caught.value.status == Quality.BAD_NOT_WRITABLE


async def test_an_answer_that_does_not_come_leaves_it_in_doubt() -> None:
    async with small_server() as server:
        nodes = await add(server)
        async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
            spec = device(f"opc.tcp://{proxy.address}", tags(), timeout=1.0)
            async with connected(spec) as driver:
                await driver.write("int16", 1)  # its type is known from now on
                proxy.mute = True
                with pytest.raises(WriteInDoubt):
                    await driver.write("int16", 2)
        assert await nodes["int16"].read_value() == 2, "it happened, and nobody could know"


async def test_what_is_late_when_the_type_is_known_is_not_sent() -> None:
    async with small_server() as server:
        nodes = await add(server)
        async with connected(device(server.endpoint, tags())) as driver:
            await driver.write_by("int16", 3, time.monotonic() + 60.0)
            with pytest.raises(DeviceRefused, match="too late"):
                await driver.write_by("int16", 4, time.monotonic())
        assert await nodes["int16"].read_value() == 3


async def test_a_connection_lost_before_it_is_asked_refuses() -> None:
    async with small_server() as server:
        await add(server)
        async with Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy:
            spec = device(f"opc.tcp://{proxy.address}", tags(), timeout=1.0)
            async with connected(spec) as driver:
                proxy.mute = True
                with pytest.raises(DeviceRefused):  # asking for the type changed nothing
                    await driver.write("int16", 2)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1.5, 6), (True, 6), (-1, 3), ("1", 6), (1, 12), (1, 1), (1e39, 10), ("x", 14), (1, 13)],
)
def test_what_no_variant_of_a_kind_can_hold(value: Any, kind: int) -> None:
    with pytest.raises(DeviceRefused):
        to_variant(value, kind)


def test_texts_become_what_the_node_wants() -> None:
    assert to_variant("a", 21).Value == ua.LocalizedText("a")
    unique = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert str(to_variant(unique, 14).Value) == unique
    assert to_variant(3.0, 6).Value == 3
