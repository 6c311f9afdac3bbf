"""The pace of a serial line, by the standard."""

from __future__ import annotations

import math
from typing import Any

import pytest

from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.opening import tempo


def pace(**settings: Any) -> tuple[float, float, float]:
    given = {"protocol": "modbus", "tags": (), **settings}
    if "host" not in given:
        given["serial_port"] = "/dev/ttyS0"
    link = ModbusSettings(**given).link()
    return tempo(link, on_port="host" not in settings)


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ({}, 11),
        ({"parity": "none"}, 11),
        ({"parity": "none", "stop_bits": 1}, 10),
        ({"parity": "odd", "stop_bits": 2}, 12),
    ],
)
def test_a_request_waits_for_three_and_a_half_characters(
    settings: dict[str, Any], bits: int
) -> None:
    character_s, silence_s, _ = pace(transport="rtu", baudrate=9600, **settings)
    assert character_s == pytest.approx(bits / 9600)
    assert silence_s == pytest.approx(3.5 * bits / 9600)


def test_a_fast_line_has_a_fixed_silence() -> None:
    assert pace(transport="rtu", baudrate=19_200)[1] == pytest.approx(3.5 * 11 / 19_200)
    assert pace(transport="rtu", baudrate=38_400)[1] == 0.00175


def test_ascii_needs_no_silence_and_may_pause_for_a_second() -> None:
    character_s, silence_s, rest_s = pace(transport="ascii", baudrate=9600)
    assert character_s == pytest.approx(10 / 9600)
    assert (silence_s, rest_s) == (0.0, 1.0)


@pytest.mark.parametrize("transport", ["rtu-over-tcp", "ascii-over-tcp"])
def test_behind_a_connection_the_device_server_keeps_the_pace(transport: str) -> None:
    assert pace(transport=transport, host="192.0.2.7") == (0.0, 0.0, math.inf)
