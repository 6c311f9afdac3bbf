"""Writes to an OPC UA server of another make: in the node's own type, and a clear no is a no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from forebay.errors import DeviceRefused, WriteInDoubt
from support.node_opcua import NAMESPACE, NodeOpcua
from support.opcua import connected, device, read_once
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VALUES: dict[str, tuple[str, Any]] = {
    "Flag": ("bool", True),
    "Int": ("int32", -(1 << 31)),
    "Long": ("int64", -(1 << 62) - 1),
    "ULong": ("uint64", (1 << 64) - 1),
    "Single": ("float32", 0.5),
    "Text": ("string", "Halter \N{LATIN SMALL LETTER U WITH DIAERESIS}"),
    "Temp": ("float64", 81.25),
}
TAGS = {name: (f"nsu={NAMESPACE};s={name}", kind) for name, (kind, _) in VALUES.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as running:
        yield running


async def test_every_simple_type_is_written_and_reads_back(server: NodeOpcua) -> None:
    spec = device(server.endpoint, TAGS)
    async with connected(spec) as driver:
        for name, (_, value) in VALUES.items():
            await driver.write(name, value)
            assert await driver.read_back(name) == value, name
        polled = await read_once(driver, spec)
    assert {name: sample.value for name, sample in polled.items()} == {
        name: value for name, (_, value) in VALUES.items()
    }


async def test_what_cannot_be_written_is_refused(server: NodeOpcua) -> None:
    spec = device(
        server.endpoint,
        {
            "Array": (f"nsu={NAMESPACE};s=Array", "float64"),
            "State": ("i=2259", "int32"),
            "Nothing": (f"nsu={NAMESPACE};s=Nothing", "int32"),
        },
    )
    async with connected(spec) as driver:
        for name, says in (
            ("Array", "array"),
            ("State", "BadUserAccessDenied"),
            ("Nothing", "Bad"),
        ):
            with pytest.raises(DeviceRefused, match=says):
                await driver.write(name, 1)


async def test_an_answer_that_is_swallowed_is_a_doubt(server: NodeOpcua) -> None:
    async with (
        Proxy(server.endpoint.removeprefix("opc.tcp://")) as proxy,
        connected(device(f"opc.tcp://{proxy.address}", TAGS, timeout=2.0)) as driver,
    ):
        await driver.write("Temp", 20.0)
        proxy.mute = True
        with pytest.raises(WriteInDoubt):
            await driver.write("Temp", 21.0)
    async with connected(device(server.endpoint, TAGS)) as driver:
        assert await driver.read_back("Temp") == 21.0
