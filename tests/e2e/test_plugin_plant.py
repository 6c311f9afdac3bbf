"""Four plugins of one plant through the whole agent: replenish, twin, wear and advisor.

A PLC has a bin, a pump, a press and a process in its registers, one row of them a poll. What each
plugin gives is held against what the registers truly were. The transport is called twice: by a coil
through the write gate, and over a real MQTT broker, where a fleet manager hears the call and
answers. A second test gives `wear` an engine of C-MAPSS that trained nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiomqtt
import numpy as np
import pytest

from forebay.testing.modbus_server import ModbusServer
from forebay_wear import cmapss
from support.datasets import data_set
from support.good_samples import good_samples
from support.mosquitto import Mosquitto
from support.processes import GATEWAY, World, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
CALL, ACCEPTED = 7, "agv/accepted"
"""The coil that calls, and the topic that answers."""
LIMIT, BEGIN, A_STROKE = 7.1, 5.0, 0.002
"""Vibration in mm/s: that of a press at its end, of a new one, and what each stroke adds."""
TAGS = """
    { name = "Level", address = "holding:0", type = "uint16", scale = 0.01 },
    { name = "Head", address = "holding:1", type = "uint16", scale = 0.001 },
    { name = "Flow", address = "holding:2", type = "uint16", scale = 0.01 },
    { name = "Speed", address = "holding:3", type = "uint16" },
    { name = "Vibration", address = "holding:4", type = "uint16", scale = 0.001 },
    { name = "Strokes", address = "holding:5", type = "uint16" },
    { name = "Power", address = "holding:6", type = "uint16", scale = 0.001 },
    { name = "Product", address = "holding:7", type = "uint16", scale = 0.01 },
    { name = "Setpoint", address = "holding:8", type = "uint16", scale = 0.1 },
    { name = "Call", address = "coil:7", type = "bool", access = "write" },
"""
CONFIG = """
[writes]
enabled = true
[[writes.allow]]
tags = ["plant/Call"]
by = ["plugin:screws"]
rate = "100/s"

[uplinks.broker]
kind = "mqtt"
host = "127.0.0.1"
port = {broker}
tls = false
topic = "out/{{gateway}}/{{device}}/{{tag}}"

[devices.agv]
protocol = "mqtt"
host = "127.0.0.1"
port = {broker}
tls = false
tags = [{{ name = "Accepted", address = "{accepted}", type = "bool" }}]
groups.default.mode = "subscribe"

[devices.plant]
protocol = "modbus"
host = "127.0.0.1"
port = {plc}
tags = [{tags}]
groups.default.period = "20 ms"

[plugins.screws]
path = "{plugins}/replenish"
inputs.level = ["plant/Level"]
inputs.answers = ["agv/Accepted"]
window = {{ every = "250 ms", grace = "100 ms" }}
outputs.call = {{ kind = "write", type = "bool" }}
writes.call = "plant/Call"
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
[plugins.screws.settings]
refill = 20.0
sample = "250 ms"
memory = "10 s"
lead = "4 s"
safety = "2 s"
answer = "60 s"
accepted = "agv/Accepted"

[plugins.pump]
path = "{plugins}/twin"
inputs.target = ["plant/Head"]
inputs.given = ["plant/Flow", "plant/Speed"]
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
settings = {{ kind = "pump-head", head_zero = 40.0, bend = 0.0009, speed = 1450.0, learn = 100 }}

[plugins.press]
path = "{plugins}/wear"
inputs.values = ["plant/Vibration"]
inputs.cycle = ["plant/Strokes"]
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
[plugins.press.settings]
mode = "trend"
limits = {{ Vibration = {{ limit = {limit}, rising = true }} }}
most = 5000
due = 700
due_off = 900

[plugins.saver]
path = "{plugins}/advisor"
inputs.energy = ["plant/Power"]
inputs.product = ["plant/Product"]
inputs.knobs = ["plant/Setpoint"]
window.rows = 10
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
settings = {{ support = 4, alike = 3.0, unit = "m3" }}
"""


class Plant:
    """The registers, one row a poll: reading the first makes the next row.

    While `used`, each row takes 0.1 from the `level`; `worn`, the pump has lost 5 % of its head.
    Power is 50 kW at set-point 5, and 40 kW at 4, which is run as long.
    """

    def __init__(self) -> None:
        self.level, self.used, self.worn = 10.0, False, False
        self._random, self._row, self._strokes = random.Random(5), 0, 0
        self._registers = [0] * 9

    def __call__(self, area: str, address: int) -> int:
        """Answer for one register."""
        if address == 0:
            self._next()
        return self._registers[address]

    def _next(self) -> None:
        self._row += 1
        noise = self._random.gauss
        self.level -= 0.1 * self.used
        flow = 60 + 20 * np.sin(self._row / 37)
        speed = 1400 + 50 * np.sin(self._row / 61)
        head = (speed / 1450) ** 2 * 40 - 0.0009 * flow**2
        self._strokes += self.used
        vibration = BEGIN + A_STROKE * self._strokes + noise(0, 0.01)
        setpoint = 5.0 if self._row // 30 % 2 else 4.0
        power = 10 * setpoint * (1 + noise(0, 0.005))
        row = (
            100 * max(self.level + noise(0, 0.05), 0),
            1000 * (head * (0.95 if self.worn else 1.0) + noise(0, 0.05)),
            100 * flow,
            round(speed),
            1000 * vibration,
            self._strokes,
            1000 * power,
            100 * (120 + noise(0, 1)),
            10 * setpoint,
        )
        self._registers = [round(value) for value in row]


async def value_of(world: World, name: str, met: Callable[[Any], bool]) -> Any:
    """Wait until a tag of the gateway has such a value; give it."""
    async with asyncio.timeout(90):
        while True:
            _, document = await world.ask("tags", name)
            for tag in (document or {}).get("tags", []):
                if tag.get("value") is not None and met(tag["value"]):
                    return tag["value"]
            assert world.agent.running, world.agent.text()[-3000:]


async def heard(messages: Any, wanted: str) -> None:
    """Wait until the fleet manager hears that the container is in a state."""
    async with asyncio.timeout(90):
        async for message in messages:
            if json.loads(message.payload)["value"] == wanted:
                return


async def all_work(world: World, *names: str) -> None:
    """Wait until each of these plugins has worked on windows."""
    async with asyncio.timeout(120):
        while True:
            _, document = await world.ask("plugins", "ls")
            found = {one["name"]: one for one in (document or {}).get("plugins", [])}
            if all(name in found and found[name]["windows"] > 3 for name in names):
                return
            assert world.agent.running, world.agent.text()[-3000:]


async def test_each_tells_what_is_true_of_the_plant(tmp_path: Path, mosquitto_binary: Path) -> None:
    plant, plc = Plant(), ModbusServer()
    plc.values = plant
    folder = tmp_path / "broker"
    folder.mkdir()
    async with World(tmp_path) as world, plc, Mosquitto(mosquitto_binary, folder) as broker:
        world.write_config(
            CONFIG.format(
                broker=broker.port, plc=plc.port, accepted=ACCEPTED, tags=TAGS,
                plugins=PLUGINS, limit=LIMIT,
            )
        )  # fmt: skip
        await world.agent.start()
        async with aiomqtt.Client("127.0.0.1", broker.port, timeout=10) as manager:
            await manager.subscribe(f"out/{GATEWAY}/screws/state", qos=1)
            await all_work(world, "screws", "pump", "press", "saver")
            await value_of(world, "pump/predicted", lambda head: head > 30)
            await manager.publish(ACCEPTED, "false", qos=1)
            await value_of(world, "agv/Accepted", lambda accepted: accepted is False)
            plant.used = True
            plant.level += 50
            await heard(manager.messages, "called")
            called_at = plant.level
            await until(lambda: plc.written.get(("coil", CALL)) == 1, "the coil calls")
            await manager.publish(ACCEPTED, "true", qos=1)
            await heard(manager.messages, "accepted")
            await until(lambda: plc.written.get(("coil", CALL)) == 0, "the call is over")
            plant.level = 70.0
            await heard(manager.messages, "quiet")
        assert 0 < called_at < 55
        plant.worn = True
        assert await value_of(world, "pump/drift", lambda drift: drift is True) is True
        assert await value_of(world, "press/due", lambda due: due is True) is True
        assert await value_of(world, "saver/saving", lambda saving: saving > 0) > 0
        _, document = await world.ask("plugins", "ls")
        for status in document["plugins"]:
            assert (status["windows_passed"], status["samples_refused"]) == (0, 0), status
        assert await world.agent.stop() == 0
    found = await good_samples(world.journal)
    of_replenish(found)
    of_twin(found)
    of_wear(found)
    of_advisor(found)


Found = dict[str, list[tuple[int, Any]]]


def told(found: Found, source: str) -> list[str]:
    """The messages of a plugin's events, in order."""
    return [str(text) for _, text in found[f"{source}/message"]]


def of_replenish(found: Found) -> None:
    """Each forecast while the level fell is that of a line through it; one call for the need."""
    numbers = [number for _, number in found["screws/number"]]
    assert set(numbers) == {0, 1}
    news = told(found, "screws")
    assert [text.split(":")[0].split(" from")[0] for text in news] == [
        "refilled",
        "transport 1 called",
        "transport 1 is on its way",
        "refilled",
    ]
    called_ns = next(at for at, calling in found["screws/calling"] if calling)
    levels = [(at, level) for at, level in found["plant/Level"] if at <= called_ns]
    times = np.array([at for at, _ in levels[-150:]], np.float64) / 1e9
    slope, _ = np.polyfit(times - times[0], [level for _, level in levels[-150:]], 1)
    expected = levels[-1][1] / -slope
    empty_in = [seconds for at, seconds in found["screws/empty_in"] if at <= called_ns][-1]
    assert 0.5 < empty_in / expected < 2


def of_twin(found: Found) -> None:
    """What is predicted is the pump's own curve of the flow and speed that were read."""
    flows, speeds = dict(found["plant/Flow"]), dict(found["plant/Speed"])
    heads, drift = dict(found["plant/Head"]), dict(found["pump/drift"])
    residuals = dict(found["pump/residual"])
    for at, predicted in found["pump/predicted"]:
        curve = (speeds[at] / 1450) ** 2 * 40 - 0.0009 * flows[at] ** 2
        assert predicted == pytest.approx(curve, abs=0.1)
        assert residuals[at] == pytest.approx(heads[at] - predicted)
    drifts = [at for at, is_drift in drift.items() if is_drift]
    sound = [residual for at, residual in residuals.items() if at < drifts[0] - 10**9]
    worn = [residual for at, residual in residuals.items() if at >= drifts[0]]
    assert np.abs(np.median(sound)) < 0.1
    assert np.median(worn) == pytest.approx(-0.05 * np.median(list(heads.values())), rel=0.3)
    (finding,) = told(found, "pump")
    assert "plant/Head drifts: under its model" in finding


def of_wear(found: Found) -> None:
    """What remains is what the press truly has left, and service is due when that is 700."""
    strokes = dict(found["plant/Strokes"])
    left = {at: (LIMIT - BEGIN) / A_STROKE - stroke for at, stroke in strokes.items()}
    sure = [(at, cycles) for at, cycles in found["press/remaining"] if strokes[at] > 150]
    assert len(sure) > 50
    assert np.median([abs(cycles / left[at] - 1) for at, cycles in sure]) < 0.15
    low, high = dict(found["press/low"]), dict(found["press/high"])
    held = [low[at] <= left[at] <= high[at] for at, _ in sure]
    assert np.mean(held) > 0.5
    told_due = sorted(found["press/due"])
    since = max((at for at, due in told_due if not due), default=told_due[0][0])
    assert told_due[-1][1], "service is due at the end"
    assert left[since] == pytest.approx(700, abs=250), "and has been since about then"
    assert "service is due" in told(found, "press")[0]


def of_advisor(found: Found) -> None:
    """Set-point 4 takes a fifth less than 5, and is what is advised; nothing is written by it."""
    setpoints = dict(found["plant/Setpoint"])
    steady = [
        (setpoints[at], kwh)
        for at, kwh in found["saver/specific"]
        if len({setpoints[when] for when in before(setpoints, at, 10)}) == 1
    ]
    for setpoint, kwh in steady:
        assert kwh == pytest.approx(10 * setpoint / 120, rel=0.03)
    assert {setpoint for setpoint, _ in steady} == {4, 5}
    given = [saving for _, saving in found["saver/saving"] if saving > 0]
    assert np.median(given) == pytest.approx(20, abs=3)
    (advice, *_) = told(found, "saver")
    assert advice.startswith("plant/Setpoint 4 took 0.33")


def before(rows: dict[int, Any], at: int, count: int) -> list[int]:
    """The times of the `count` rows that end with the one at `at`."""
    times = list(rows)
    end = times.index(at) + 1
    return times[end - count : end]


class Engine:
    """Registers of an engine: its counter, then 21 sensors as float32; one cycle a poll."""

    def __init__(self, engine: cmapss.Engine) -> None:
        self._rows = np.column_stack([engine.cycles, engine.sensors]).astype(">f4")
        self._at = -1
        self.running = False

    def __call__(self, area: str, address: int) -> int:
        """Answer for one register; it stands still in its first cycle until `running`."""
        if address == 0 and (self.running or self._at < 0):
            self._at = min(self._at + 1, len(self._rows) - 1)
        return int(self._rows[self._at].view(">u2")[address])

    @property
    def at_its_end(self) -> bool:
        """Whether its last cycle was read."""
        return self._at == len(self._rows) - 1


async def test_an_engine_that_trained_nothing_is_judged_by_the_model(tmp_path: Path) -> None:
    (test,) = cmapss.tests(data_set("cmapss"))
    short = [
        (engine, truth)
        for engine, truth in zip(test.engines, test.truths.tolist(), strict=True)
        if truth < 25 and len(engine.cycles) > 100
    ]
    engine, truth = short[0]
    registers, plc = Engine(engine), ModbusServer()
    plc.values = registers
    tags = ", ".join(
        f'{{ name = "{name}", address = "holding:{2 * place}", type = "float32" }}'
        for place, name in enumerate(["cycle", *cmapss.SENSORS])
    )
    async with World(tmp_path) as world, plc:
        world.write_config(
            f"""
[devices.engine]
protocol = "modbus"
host = "127.0.0.1"
port = {plc.port}
tags = [{tags}]
groups.default.period = "20 ms"
[plugins.life]
path = "{PLUGINS}/wear"
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
"""
        )
        await world.agent.start()
        await all_work(world, "life")
        registers.running = True
        await until(lambda: registers.at_its_end, "the engine has run")
        assert await value_of(world, "life/due", lambda due: due is True) is True
        assert await world.agent.stop() == 0
    found = await good_samples(world.journal)
    counter, last = dict(found["engine/cycle"]), engine.cycles[-1]
    remaining, low, high = (
        [value for at, value in found[f"life/{name}"] if counter[at] == last][-1]
        for name in ("remaining", "low", "high")
    )
    assert remaining == pytest.approx(truth, abs=20)
    assert low <= truth <= high
    assert "service is due" in told(found, "life")[0]
    whole = cmapss.judge(engine, PLUGINS / "wear")
    assert remaining == pytest.approx(float(whole["remaining"].values[-1]), abs=0.5)
