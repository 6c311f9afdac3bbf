"""What a rule allows is what the device gets, also where the wire is coarser than the type."""

from __future__ import annotations

import numpy as np
import pytest

from forebay.drivers.modbus.tag import ModbusTag
from forebay.writing.rules import Action, Allowed, Ask, Denied, Pace, decide
from forebay.writing.settings import WritesSettings

HALF = ModbusTag(
    name="Half", address="holding:1", type="float32", encoding="float16", access="read_write"
)


def decided(value: float, **limits: object) -> Allowed | Denied:
    rule = {"tags": ["press/Half"], "rate": "100/s", **limits}
    settings = WritesSettings.model_validate({"enabled": True, "allow": [rule]})
    ask = Ask(Action.WRITE, "press", "Half", (value,), "id-1", "uid:7")
    return decide(ask, settings, {"Half": HALF}, Pace(), 0.0)


@pytest.mark.parametrize("seed", range(200))
def test_a_float16_on_the_wire_keeps_the_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    least, value, most = sorted(rng.uniform(-100, 100, 3).tolist())
    for asked in (least, value, most):
        verdict = decided(asked, min=least, max=most)
        assert isinstance(verdict, Allowed)
        (raw,) = verdict.values
        wire = np.float16(raw)
        assert least <= float(wire) <= most, "what the device has"
        assert float(wire) == float(np.float32(raw)), "what is sent is not rounded again"


def test_what_a_float16_can_only_tell_beyond_the_range_is_refused() -> None:
    verdict = decided(80.1, min=80.09, max=80.11)
    assert isinstance(verdict, Denied)
    assert verdict.detail == "80.1 would be 80.125: 80.125 is above what is allowed"


def test_what_no_float16_can_be_is_refused() -> None:
    verdict = decided(70_000, min=0, max=100_000)
    assert isinstance(verdict, Denied)
    assert "more than float16 can hold" in verdict.detail
    assert isinstance(decided(65_504, min=0, max=100_000), Allowed)
