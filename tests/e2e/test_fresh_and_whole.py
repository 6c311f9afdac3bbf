"""Every value is of its own poll: dated by its read, mixed with no other scan, and told once.

modbus-serial gives each register another value at every scan, and says when the scan was. Beside
that device, on the same connection, one unit answers too late each time and one throws; the line
itself holds answers back and breaks. What was read must be right all the same, or Bad.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from forebay.drivers.modbus import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import Quality, Schema
from forebay.testing.driver import CollectingIntake
from fuzzing.sessions import serving
from support.field_devices import node_server
from support.proxy import Proxy
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Batch, Sample

pytestmark = pytest.mark.e2e

MS = 1_000_000
SLACK_MS = 2
REGISTERS = 250
TIMEOUT_S = 0.3
WALKING, THROWING, SLOW = "walking", "throwing", "slow"
PATIENCE_S = 60.0


def device(name: str, unit: int, port: int, addresses: list[int], period: str) -> DeviceSpec:
    rows = [
        {"name": f"r{address}", "address": f"holding:{address}", "type": "uint16"}
        for address in addresses
    ]
    if name == WALKING:
        rows.append({"name": "at", "address": "holding:60000", "type": "uint32"})
    tags = [SPEC.tag.model_validate(row) for row in rows]
    settings = SPEC.settings.model_validate(
        {
            "protocol": "modbus",
            "host": "127.0.0.1",
            "port": port,
            "unit": unit,
            "tags": (),
            "timeout": TIMEOUT_S,
            "backoff": {"first": "50 ms", "most": "200 ms"},
            "groups": {"default": {"period": period}},
        }
    )
    schema = Schema(name, "default", tuple(tag.to_tag() for tag in tags))
    return DeviceSpec(name, settings, (schema,), {tag.name: tag for tag in tags})


def scan_of(row: list[Sample]) -> int:
    """Which scan a row shows, modulo 8192; AssertionError if it is not one scan, and all of it."""
    first = row[0].value
    assert isinstance(first, int)
    assert [s.value for s in row[:-1]] == [(first + a) & 0xFFFF for a in range(REGISTERS)]
    return next(n for n in range(8192) if (1000 * n) & 0xFFFF == first)


def dated_right(row: list[Sample]) -> bool:
    """Whether the device was read between the two times that the row bears."""
    at_ms = row[-1].value
    assert isinstance(at_ms, int)
    begin_ms, end_ms = row[0].time_ns // MS, row[0].received_ns // MS
    since = (at_ms - begin_ms + SLACK_MS) % 2**32
    return since <= end_ms - begin_ms + 2 * SLACK_MS


def rows_of(intake: CollectingIntake, source: str) -> list[list[Sample]]:
    return [list(b.iter_samples()) for b in intake.batches if b.schema.source == source]


def good(row: list[Sample]) -> bool:
    return all(s.quality in (Quality.GOOD, Quality.GOOD_OVERLOAD) for s in row)


async def until_good(intake: CollectingIntake, more: int) -> None:
    """Wait for so many more whole rows of the walking device."""

    def count() -> int:
        return sum(_whole(batch) for batch in intake.batches if batch.schema.source == WALKING)

    wanted = count() + more
    async with asyncio.timeout(PATIENCE_S):
        while count() < wanted:  # noqa: ASYNC110 - an intake has no event
            await asyncio.sleep(0.02)


def _whole(batch: Batch) -> bool:
    return batch.quality is None or not (batch.quality & 0xC000_0000).any()


async def test_each_value_is_of_its_own_poll(node_binary: Path, modbus_serial_dir: Path) -> None:
    intake = CollectingIntake()
    async with (
        node_server(node_binary, modbus_serial_dir / "modbus_serial_server.js") as server,
        Proxy(f"127.0.0.1:{server}") as proxy,
    ):
        port = int(proxy.address.rpartition(":")[2])
        specs = [
            device(WALKING, 1, port, list(range(REGISTERS)), "50 ms"),
            device(THROWING, 7, port, [*range(10), *range(100, 110)], "500 ms"),
            device(SLOW, 9, port, list(range(10)), "1 s"),
        ]
        async with serving(SPEC, specs, intake, system_seams()):
            await until_good(intake, 60)
            for _ in range(3):
                proxy.hold()  # longer than anybody waits: what comes then is late
                await asyncio.sleep(2 * TIMEOUT_S)
                proxy.release()
                await until_good(intake, 20)
                proxy.cut()
                await until_good(intake, 20)
    walking = [row for row in rows_of(intake, WALKING) if good(row)]
    scans = [scan_of(row) for row in walking]
    assert all((b - a) % 8192 in range(1, 4096) for a, b in pairwise(scans)), (
        "a scan was told twice, or after a later one"
    )
    assert [row for row in walking if not dated_right(row)] == []
    begins = [row[0].time_ns for row in walking]
    assert begins == sorted(set(begins))
    assert all(a[0].received_ns <= b[0].time_ns for a, b in pairwise(walking))


async def test_units_that_throw_or_are_late_give_nothing_wrong(
    node_binary: Path, modbus_serial_dir: Path
) -> None:
    intake = CollectingIntake()
    async with node_server(node_binary, modbus_serial_dir / "modbus_serial_server.js") as port:
        specs = [
            device(WALKING, 1, port, list(range(REGISTERS)), "100 ms"),
            device(THROWING, 7, port, [*range(10), *range(100, 110)], "100 ms"),
            device(SLOW, 9, port, list(range(10)), "500 ms"),
        ]
        async with serving(SPEC, specs, intake, system_seams()):
            await until_good(intake, 60)
    throwing, slow = rows_of(intake, THROWING), rows_of(intake, SLOW)
    for sample in (s for row in throwing + slow for s in row if s.value is not None):
        assert sample.value == int(sample.tag.name[1:]), sample
    busy = {s.quality for row in throwing for s in row if int(s.tag.name[1:]) >= 100}
    assert Quality.BAD_OUT_OF_SERVICE in busy
    assert all(quality & 0x8000_0000 for quality in busy), "busy registers were never good"
    assert any(s.value is not None for row in throwing for s in row), "its others were"
    assert slow
    assert not any(good(row) for row in slow), "what comes after the timeout is not data"
