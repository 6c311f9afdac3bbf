"""Modbus over TCP, TLS, UDP and serial lines: coils, discrete inputs, holding and input registers.

Owns what this driver is called and what a person configures. Importing it loads no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.modbus.config import ModbusSettings, check
from forebay.drivers.modbus.tag import ModbusTag
from forebay.interfaces import DriverSpec

if TYPE_CHECKING:
    from forebay.drivers.modbus.driver import ModbusDriver
    from forebay.interfaces import DeviceSpec, Line, Seams


def _build(spec: DeviceSpec, seams: Seams, line: Line) -> ModbusDriver:
    from forebay.drivers.modbus.driver import ModbusDriver

    return ModbusDriver(spec, seams, line)


def _line(settings: ModbusSettings) -> str:
    return settings.link().name


def _differ(one: ModbusSettings, other: ModbusSettings) -> list[str]:
    return one.link().differs(other.link())


def _reaches(settings: ModbusSettings) -> tuple[str, ...]:
    return (settings.link().name,)


SPEC = DriverSpec(
    protocol="modbus",
    settings=ModbusSettings,
    tag=ModbusTag,
    modes=frozenset({"poll"}),
    build=_build,
    writes=True,
    requires={},
    check=check,
    line=_line,
    differ=_differ,
    reaches=_reaches,
)
