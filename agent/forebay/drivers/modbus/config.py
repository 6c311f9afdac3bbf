"""What a person writes about a Modbus device: how to reach it and what it can take.

Owns the settings of a device and the checks of its tags against them. Must not know how requests
are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from forebay.drivers.modbus.tag import ModbusTag, Order
from forebay.errors import Fault
from forebay.interfaces import SpanLimits
from forebay.settings import DeviceSettings, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.interfaces import DeviceSpec


class ModbusSettings(DeviceSettings):
    """One Modbus TCP device, or one unit behind a gateway."""

    host: Annotated[Host, Field(description="Name or IP address of the device.")]
    port: Annotated[int, Field(ge=1, le=65_535, description="TCP port.")] = 502
    unit: Annotated[
        int, Field(ge=0, le=255, description="Unit identifier; behind a gateway, the slave's.")
    ] = 1
    order: Annotated[
        Order, Field(description="Byte order of values of more than one byte, unless a tag says.")
    ] = "ABCD"
    max_in_flight: Annotated[
        int,
        Field(
            ge=1,
            le=16,
            description="Requests sent before the first answer; many devices answer only one.",
        ),
    ] = 1
    max_registers: Annotated[
        int, Field(ge=1, le=125, description="Most registers in one request.")
    ] = 125
    max_bits: Annotated[
        int, Field(ge=1, le=2000, description="Most coils or discrete inputs in one request.")
    ] = 2000
    max_hole_registers: Annotated[
        int,
        Field(ge=0, le=124, description="Most unneeded registers read to save a request."),
    ] = 8
    max_hole_bits: Annotated[
        int, Field(ge=0, le=1999, description="Most unneeded bits read to save a request.")
    ] = 64

    def limits(self, area: str) -> SpanLimits:
        """Give what one request may ask of `area`: bits or registers."""
        if area in {"holding", "input"}:
            return SpanLimits(self.max_registers, self.max_hole_registers)
        return SpanLimits(self.max_bits, self.max_hole_bits)


def check(spec: DeviceSpec) -> Iterator[Fault]:
    """Find tags that are longer than the longest request to their device."""
    assert isinstance(spec.settings, ModbusSettings)
    for name, tag in spec.tags.items():
        assert isinstance(tag, ModbusTag)
        most = spec.settings.limits(tag.place.area).max_count
        if tag.count > most:
            yield Fault(
                f"devices.{spec.name}.tags",
                f"{name!r} takes {tag.count} registers, and one request may read {most}",
                "raise max_registers or choose a shorter type or length",
            )
