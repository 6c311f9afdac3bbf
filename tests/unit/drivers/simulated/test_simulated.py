"""Signals out of a clock and a seed."""

from __future__ import annotations

import math
import random
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import forebay.drivers.simulated
from forebay.acquisition.line import SharedLine
from forebay.drivers.simulated import SPEC
from forebay.drivers.simulated.config import SimulatedTag
from forebay.drivers.simulated.driver import SimulatedDriver, SimulatedReader
from forebay.errors import DeviceRefused
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec, PolledDriver, Seams
from forebay.model import Schema
from forebay.net import SystemNetwork
from forebay.testing.clock import FakeClock


def reader(clock: FakeClock, *rows: tuple[str, str], seed: int = 1) -> SimulatedReader:
    tags = [SimulatedTag(name=f"t{i}", address=a, type=t) for i, (a, t) in enumerate(rows)]
    schema = Schema("sim", "default", tuple(row.to_tag() for row in tags))
    settings = SPEC.settings(protocol="simulated", tags=())
    spec = DeviceSpec("sim", settings, (schema,), {row.name: row for row in tags})
    seams = Seams(clock, SystemDisk(), SystemNetwork(), random.Random(seed), Events())
    driver = SPEC.build(spec, seams, SharedLine("sim", clock))
    assert isinstance(driver, SimulatedDriver)
    polled: PolledDriver = driver
    assert polled.spans(schema) is None
    return driver.reader(schema, ())


async def read(of: SimulatedReader) -> list[Any]:
    scan = await of.read()
    assert scan.refusals == ()
    assert scan.batch.quality is None
    return [sample.value for sample in scan.batch.iter_samples()]


async def test_signals_of_time_follow_the_wall_clock() -> None:
    clock = FakeClock(wall_ns=0)
    of = reader(
        clock,
        ("sine low=-10 high=10 period=8s", "float64"),
        ("ramp low=0 high=80 period=8s", "int16"),
        ("square low=1 high=9 period=8s", "uint16"),
        ("square period=8s", "bool"),
        ("sine low=-10 high=10 period=8s phase=0.25", "float32"),
    )
    assert await read(of) == [0.0, 0, 1, False, 10.0]
    await clock.advance(1)
    assert await read(of) == [
        pytest.approx(10 * math.sin(math.pi / 4)),
        10,
        1,
        False,
        pytest.approx(10 * math.cos(math.pi / 4)),
    ]
    await clock.advance(4)
    assert (await read(of))[1:4] == [50, 9, True]
    await clock.advance(3)
    assert await read(of) == [pytest.approx(0.0), 0, 1, False, pytest.approx(10.0)]


async def test_times_are_those_of_the_clock() -> None:
    clock = FakeClock(wall_ns=1_700_000_000_123_456_789)
    batch = (await reader(clock, ("counter", "uint16")).read()).batch
    assert batch.times_ns.tolist() == batch.received_ns.tolist() == [1_700_000_000_123_456_789]


async def test_a_counter_counts_reads_and_starts_again_where_its_type_ends() -> None:
    of = reader(
        FakeClock(), ("counter", "uint8"), ("counter step=100", "int8"), ("counter", "int64")
    )
    rows = [await read(of) for _ in range(258)]
    assert [row[0] for row in rows[:3]] == [0, 1, 2]
    assert [row[0] for row in rows[255:]] == [255, 0, 1]
    assert [row[1] for row in rows[:4]] == [0, 100, 72, 44]
    assert rows[-1][2] == 257


async def test_a_walk_stays_in_its_bounds_and_repeats_with_its_seed() -> None:
    row = ("walk low=-3 high=3 step=2", "float64")
    one, same, other = (reader(FakeClock(), row, seed=seed) for seed in (1, 1, 2))
    walked = [(await read(one))[0] for _ in range(500)]
    assert walked == [(await read(same))[0] for _ in range(500)]
    assert walked != [(await read(other))[0] for _ in range(500)]
    assert min(walked) == -3
    assert max(walked) == 3
    assert all(abs(b - a) <= 2 for a, b in pairwise(walked))


async def test_constants_are_exact() -> None:
    rows = [
        ("constant 18446744073709551615", "uint64"),
        ("constant -9223372036854775808", "int64"),
        ("constant 0.1", "float64"),
        ("constant true", "bool"),
        ("constant PRESS  7 = on", "string"),
        ("constant", "string"),
    ]
    assert await read(reader(FakeClock(), *rows)) == [
        2**64 - 1,
        -(2**63),
        0.1,
        True,
        "PRESS  7 = on",
        "",
    ]


@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        ("triangle", "float64", "there is no signal 'triangle'"),
        ("sine height=3", "float64", "'height=3' says nothing to a sine"),
        ("sine 3", "float64", "says nothing"),
        ("counter period=3", "uint16", "it takes step"),
        ("sine low=x", "float64", "'x' is no low"),
        ("sine low=nan", "float64", "'nan' is no low"),
        ("sine period=0", "float64", "more than 0"),
        ("sine low=5 high=1", "float64", "exchange them"),
        ("sine low=-1", "uint16", "holds 0 to 65535"),
        ("ramp high=300", "uint8", "holds 0 to 255"),
        ("walk step=0.5", "int16", "whole number"),
        ("counter step=-1", "int16", "whole number"),
        ("sine", "bool", "cannot be a bool"),
        ("counter", "string", "cannot be a string"),
        ("constant 1", "bool", "write true or false"),
        ("constant x", "int16", "is no int16"),
        ("constant 70000", "uint16", "cannot hold 70000"),
        ("constant nan", "float64", "cannot hold nan"),
    ],
)
def test_what_cannot_be_made_is_a_fault_of_the_configuration(
    address: str, kind: str, said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        SimulatedTag(name="t", address=address, type=kind)
    assert said in str(caught.value)


async def test_the_sample_is_valid_and_makes_values() -> None:
    folder = Path(forebay.drivers.simulated.__file__).parent
    sample = tomllib.loads((folder / "sample.toml").read_text(encoding="utf-8"))
    settings = SPEC.settings(**sample["devices"]["bench"])
    assert isinstance(settings.tags, tuple)
    rows = [(row["address"], row["type"]) for row in settings.tags]
    assert len(await read(reader(FakeClock(), *rows))) == len(rows)


async def test_a_constant_can_be_written_and_reads_back_and_a_signal_refuses() -> None:
    rows = (("constant 4", "int16"), ("constant a", "string"), ("sine", "float32"))
    tags = [SimulatedTag(name=f"t{i}", address=a, type=t) for i, (a, t) in enumerate(rows)]
    schema = Schema("sim", "default", tuple(row.to_tag() for row in tags))
    settings = SPEC.settings(protocol="simulated", tags=())
    spec = DeviceSpec("sim", settings, (schema,), {row.name: row for row in tags})
    clock = FakeClock()
    seams = Seams(clock, SystemDisk(), SystemNetwork(), random.Random(1), Events())
    driver = SimulatedDriver(spec, seams)
    of = driver.reader(schema, ())
    assert await driver.read_back("t0") == 4
    await driver.write("t0", 7)
    await driver.write("t1", "b")
    assert (await read(of))[:2] == [7, "b"]
    assert [await driver.read_back(name) for name in ("t0", "t1", "t2")] == [7, "b", None]
    with pytest.raises(DeviceRefused, match="sine"):
        await driver.write("t2", 1.0)
