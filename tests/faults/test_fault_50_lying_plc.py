"""Fault 50: a PLC that lies.

An answer under another id, of another unit, function, length or kind is refused whole, and so is an
old answer that is stuck in the line: none of their bytes becomes a value. A right answer may hold a
wrong value. What the wire cannot show, a person can say: a value out of its tag's range, or stuck
(the same for longer than the tag ever stands still) is Uncertain, with its value as it came. A
float that is no number is Uncertain without being told.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from forebay.events import FRAME_REFUSED
from forebay.model import Quality, is_bad
from forebay.settings import BackoffSettings
from forebay.stages.plausible.config import PlausibleSettings
from forebay.stages.plausible.stage import Plausible
from forebay.testing.modbus_server import Misbehaviour, ModbusServer
from support.modbus import tag
from support.modbus_process import modbus_process
from support.sessions import Site, statuses

if TYPE_CHECKING:
    from forebay.model import Batch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

COUNT = 300
PERIOD_S = 0.05
LIES = (
    Misbehaviour.WRONG_TRANSACTION,
    Misbehaviour.WRONG_PROTOCOL,
    Misbehaviour.WRONG_UNIT,
    Misbehaviour.WRONG_FUNCTION,
    Misbehaviour.WRONG_EXCEPTION_FUNCTION,
    Misbehaviour.WRONG_BYTE_COUNT,
    Misbehaviour.LENGTH_TOO_LONG,
    Misbehaviour.LENGTH_TOO_SHORT,
    Misbehaviour.TWICE,
    Misbehaviour.LATE,
)


@pytest.mark.parametrize("lie", LIES)
async def test_fault_50_a_lie_on_the_wire_is_refused(lie: Misbehaviour) -> None:
    tags = [tag(f"holding:{address}") for address in range(COUNT)]
    site = Site()
    async with modbus_process() as plc:
        backoff = BackoffSettings(first=0.05, most=0.2)
        site.add("press", plc.port, tags, PERIOD_S, timeout=0.4, backoff=backoff)
        async with site.running():
            await site.until(lambda: any(statuses(r) == {0} for r in site.intake.batches))
            await plc.set(misbehaviour=lie)
            await site.until(lambda: any(map(is_bad, statuses(site.intake.batches[-1]))))
            await site.rows("press", 20)
            await plc.set()
            await site.until(lambda: statuses(site.intake.batches[-1]) == {0})
    right, nothing = list(range(COUNT)), [0] * COUNT
    for row in site.intake.batches:
        lied = any(map(is_bad, statuses(row)))
        assert row.values[0][0].tolist() == (nothing if lied else right)
    if lie is not Misbehaviour.LATE:  # of which the last part is a silence
        assert site.events.count(FRAME_REFUSED, device="press") >= 1
        (line, *_) = site.told("frame_refused")
        assert line["device"] == "press"
        assert line["hint"]


async def rows(values: dict[int, int], count: int) -> list[Batch]:
    """Read a float and a counter some times, from a server that has these registers."""
    tags = [tag("holding:0", "float32"), tag("holding:2")]
    site = Site()
    async with ModbusServer(lambda _, address: values[address]) as server:
        site.add("press", server.port, tags, PERIOD_S)
        async with site.running():
            return await site.rows("press", count)


def registers(number: float, counter: int) -> dict[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", number))
    return {0: high, 1: low, 2: counter}


async def test_fault_50_a_value_out_of_range_is_uncertain_and_as_it_came() -> None:
    bound = {"tags": "holding:0*", "low": -40, "high": 125}
    stage = Plausible(PlausibleSettings.model_validate({"kind": "plausible", "rules": [bound]}))
    for number, status in ((21.5, 0), (850.0, Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)):
        for row in await rows(registers(number, 60_000), 3):
            found = stage.apply(row)
            assert found is not None
            assert statuses(found) == {0, int(status)}
            assert [s.value for s in found.iter_samples()] == [number, 60_000]


async def test_fault_50_a_stuck_value_is_uncertain_where_somebody_said_that_it_moves() -> None:
    moves = {"tags": "holding:0*", "stuck_after": 0.5}
    stage = Plausible(PlausibleSettings.model_validate({"kind": "plausible", "rules": [moves]}))
    found = [stage.apply(row) for row in await rows(registers(21.5, 7), 30)]
    marks = [int(row.quality[0, 0]) if row and row.quality is not None else 0 for row in found]
    first = marks.index(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE)
    assert first > 0, "not before it stood still for so long"
    assert set(marks[:first]) == {0}
    assert set(marks[first:]) == {Quality.UNCERTAIN_SENSOR_NOT_ACCURATE}
    assert all(row and [s.value for s in row.iter_samples()] == [21.5, 7] for row in found)
    counters = {int(row.quality[0, 1]) for row in found if row and row.quality is not None}
    assert counters == {0}, "of the counter nobody said so"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_fault_50_what_is_no_number_is_uncertain(number: float) -> None:
    for row in await rows(registers(number, 7), 3):
        assert statuses(row) == {0, int(Quality.UNCERTAIN)}
