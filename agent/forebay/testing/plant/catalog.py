"""What the plant measures: every tag with its place, its type and its course.

Owns the three tag lists, from which both the simulated devices and the agent's configuration are
made. Must not know protocols.
"""

from __future__ import annotations

from dataclasses import dataclass

from forebay.testing.plant.signals import Choice, Count, Load, Share, Signal, Stroke, Wave

NAMESPACE = "urn:forebay:demo:press"
CONVEYOR_TOPIC = "plant/conveyor"
CYCLE_S = 4.0
"""How long the press takes for one stroke."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tag.

    `place` is a holding register, a node's name or a JSON Pointer; `type` names a ValueType.
    """

    name: str
    place: str
    type: str
    unit: str
    group: str
    signal: Signal


def _meter() -> tuple[Point, ...]:
    """An energy meter: two registers a float, as such meters have it, and counters at the end."""
    phases = ("L1", "L2", "L3")
    floats: list[tuple[str, str, Signal]] = [
        *((f"voltage {p}", "V", Wave(231.0, 4.0, 47.0)) for p in phases),
        *((f"current {p}", "A", Load(42.0, 18.0, 2.0)) for p in phases),
        *((f"active power {p}", "kW", Wave(9.1, 3.9, 13.0)) for p in phases),
        *((f"reactive power {p}", "kvar", Wave(2.2, 1.1, 19.0)) for p in phases),
        *((f"power factor {p}", "", Wave(0.93, 0.05, 29.0)) for p in phases),
        ("active power", "kW", Wave(27.4, 9.0, 13.0)),
        ("frequency", "Hz", Wave(50.0, 0.03, 31.0)),
        ("cabinet temperature", "degC", Wave(34.0, 3.0, 211.0)),
    ]
    points = [
        Point(name, str(2 * number), "float32", unit, "fast", signal)
        for number, (name, unit, signal) in enumerate(floats)
    ]
    counters = 2 * len(floats)
    energy = Point("energy", str(counters), "uint64", "Wh", "slow", Count(81_274_903, 7600 / 3600))
    hours = Point("operating time", str(counters + 4), "uint32", "s", "slow", Count(9_410_022, 1.0))
    return (*points, energy, hours)


def _press() -> tuple[Point, ...]:
    waves = [
        ("OilTemperature", "degC", "slow", Wave(52.0, 4.0, 173.0)),
        ("OilPressure", "bar", "fast", Wave(168.0, 12.0, CYCLE_S)),
        ("Force", "kN", "fast", Wave(640.0, 520.0, CYCLE_S)),
        ("Speed", "mm/s", "fast", Wave(0.0, 180.0, CYCLE_S)),
        ("MotorCurrentU", "A", "fast", Wave(61.0, 22.0, CYCLE_S)),
        ("MotorCurrentV", "A", "fast", Wave(61.0, 22.0, CYCLE_S)),
        ("MotorCurrentW", "A", "fast", Wave(61.0, 22.0, CYCLE_S)),
        ("VibrationX", "mm/s", "fast", Wave(2.1, 0.9, 1.7)),
        ("VibrationY", "mm/s", "fast", Wave(1.8, 0.8, 2.3)),
        ("BearingTemperature", "degC", "slow", Wave(61.0, 5.0, 257.0)),
        ("LubricantLevel", "%", "slow", Wave(74.0, 2.0, 397.0)),
        ("DieTemperature", "degC", "slow", Wave(183.0, 6.0, 83.0)),
    ]
    return (
        *(Point(name, name, "float64", unit, group, wave) for name, unit, group, wave in waves),
        Point("Position", "Position", "float64", "mm", "fast", Stroke(420.0, CYCLE_S)),
        Point("Strokes", "Strokes", "uint32", "", "fast", Count(1_204_311, 1 / CYCLE_S)),
        Point("PartsGood", "PartsGood", "uint32", "", "slow", Count(1_187_020, 0.98 / CYCLE_S)),
        Point("PartsBad", "PartsBad", "uint32", "", "slow", Count(17_291, 0.02 / CYCLE_S)),
        Point("GuardClosed", "GuardClosed", "bool", "", "fast", Share(0.97, 41.0)),
        Point("Heating", "Heating", "bool", "", "fast", Share(0.4, 9.0)),
        Point("Mode", "Mode", "int32", "", "slow", Count(2, 0.0)),
        Point("Recipe", "Recipe", "string", "", "slow", Choice(("bracket", "flange", "cup"), 20.0)),
    )


def _conveyor() -> tuple[Point, ...]:
    group = "stream"
    return (
        Point("speed", "/speed", "float64", "m/s", group, Wave(0.82, 0.06, 11.0)),
        Point("load", "/load", "float64", "kg", group, Wave(310.0, 140.0, 17.0)),
        Point("motor current", "/motor/current", "float64", "A", group, Wave(7.4, 1.9, 17.0)),
        Point(
            "motor temperature", "/motor/temperature", "float64", "degC", group, Wave(58, 5, 131)
        ),
        Point("belt tension", "/belt/tension", "float64", "N", group, Wave(1450.0, 90.0, 23.0)),
        Point("belt offset", "/belt/offset", "float64", "mm", group, Wave(0.0, 4.0, 37.0)),
        Point("items", "/items", "int64", "", group, Count(55_019, 0.7)),
        Point("photo eye", "/photo_eye", "bool", "", group, Share(0.35, 1.4)),
        Point("jam", "/jam", "bool", "", group, Share(0.02, 53.0)),
        Point("state", "/state", "string", "", group, Choice(("running", "running", "idle"), 15.0)),
    )


METER = _meter()
WEAK, WEAK_PART = "current L2", 0.6
"""What falls, and to what part of itself, when a contact of the meter's feeder burns: the fault
that a person can inject."""
PRESS = _press()
CONVEYOR = _conveyor()
