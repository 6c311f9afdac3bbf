"""What a person writes about a Modbus device: its line, its unit, and what it can take.

Owns the settings of a device and the checks of its tags against them. Must not know how requests
are made.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from forebay.drivers.modbus.cost import HOLE_BITS, HOLE_REGISTERS, cheapest_hole
from forebay.drivers.modbus.link import NUMBERED, ON_PORT, LineSettings
from forebay.drivers.modbus.order import Order
from forebay.drivers.modbus.tag import ModbusTag
from forebay.errors import Fault
from forebay.interfaces import SpanLimits
from forebay.settings import DeviceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.drivers.modbus.address import Address
    from forebay.interfaces import Cost, DeviceSpec


class ModbusSettings(LineSettings, DeviceSettings):
    """One Modbus device, or one unit behind a gateway or on a serial line."""

    unit: Annotated[
        int, Field(ge=0, le=255, description="Unit identifier; behind a gateway, the slave's.")
    ] = 1
    order: Annotated[
        Order, Field(description="Byte order of values of more than one byte, unless a tag says.")
    ] = "ABCD"
    pipeline: Annotated[
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
        Annotated[int, Field(ge=0, le=124)] | Literal["auto"],
        Field(
            description="Most unneeded registers read to save a request; `auto` goes by what "
            "requests are measured to take. 0 where a read changes something in the device."
        ),
    ] = "auto"
    max_hole_bits: Annotated[
        Annotated[int, Field(ge=0, le=1999)] | Literal["auto"],
        Field(description="The same for coils and discrete inputs."),
    ] = "auto"

    one_request_per_tag: Annotated[
        bool, Field(description="Whether tags that do not overlap never share a request.")
    ] = False
    address_base: Annotated[
        Literal[0, 1],
        Field(description="What `holding:N` counts from; 1 where the manual does."),
    ] = 0
    write_multiple_only: Annotated[
        bool, Field(description="Whether one coil or register is written by function 15 or 16.")
    ] = False
    write_with_read: Annotated[
        bool,
        Field(description="Whether registers are written by function 23, as some drives want."),
    ] = False
    bit_write: Annotated[
        Literal["mask", "read-modify-write"],
        Field(
            description="How a bit of a register is written: by function 22, or by reading the "
            "register and writing all of it, in which a change made meanwhile is lost."
        ),
    ] = "mask"

    def limits(self, area: str, cost: Cost | None = None) -> SpanLimits:
        """Give what one request may ask of `area`, bits or registers; `cost` is what it takes."""
        if area in {"holding", "input"}:
            most, given, unmeasured = self.max_registers, self.max_hole_registers, HOLE_REGISTERS
        else:
            most, given, unmeasured = self.max_bits, self.max_hole_bits, HOLE_BITS
        hole = cheapest_hole(cost, most, unmeasured) if given == "auto" else given
        return SpanLimits(most, -1 if self.one_request_per_tag else hole)

    def place(self, tag: ModbusTag) -> Address:
        """Give where `tag` lies on the wire: by `address_base`, if its address is a named one."""
        place = tag.place
        named = not tag.address[0].isdigit()
        return place._replace(start=place.start - self.address_base) if named else place

    @property
    def longest_s(self) -> float:
        """How long the longest request and its answer take on the serial port, 0 without one."""
        if self.transport not in ON_PORT:
            return 0.0
        data_bytes = max(self.max_registers * 2, self.max_bits // 8)
        per_byte = 2 if self.transport == "ascii" else 1
        return (data_bytes + 13) * per_byte * self.link().character_s

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.pipeline > 1 and self.transport not in NUMBERED:
            raise ValueError(
                f"{self.transport} has no transaction ids, so that only one request can be open; "
                "leave out pipeline"
            )
        for key in ("connect_pause", "request_pause"):
            if getattr(self, key) >= self.timeout:
                raise ValueError(
                    f"{key} is as long as timeout, the longest wait for a connection or an answer; "
                    f"raise timeout, or shorten {key}"
                )
        if self.longest_s >= self.timeout:
            raise ValueError(
                f"at {self.baudrate} bit/s a whole answer takes {self.longest_s:.2g} s, and "
                "timeout is no longer; raise timeout, or lower max_registers and max_bits"
            )
        if self.write_with_read and self.write_multiple_only:
            raise ValueError(
                "write_with_read and write_multiple_only exclude each other; leave out one"
            )
        if self.unit == 0 and self.transport not in NUMBERED:
            raise ValueError(
                "unit 0 is everybody on a serial line, and nobody answers; write 1 to 247"
            )
        return self


def check(spec: DeviceSpec) -> Iterator[Fault]:
    """Find tags that the device's own settings make impossible, and a library that is missing."""
    assert isinstance(spec.settings, ModbusSettings)
    settings, where = spec.settings, f"devices.{spec.name}"
    if settings.transport in ON_PORT and find_spec("serial") is None:
        yield Fault(
            f"{where}.transport",
            "the Python package serial is not installed",
            "install forebay[serial]: pip install -e '.[serial]' in the clone",
        )
    for name, tag in spec.tags.items():
        assert isinstance(tag, ModbusTag)
        most = settings.limits(tag.place.area).max_count
        if tag.count > most:
            yield Fault(
                f"{where}.tags",
                f"{name!r} takes {tag.count} registers, and one request may read {most}",
                "raise max_registers or choose a shorter type or length",
                tag=name,
            )
        if tag.order is None and (why := tag.misordered(settings.order)):
            yield Fault(
                f"{where}.tags",
                f"{name!r} is of 48 bits, and {why}",
                "give the tag an order of its own: ABCD, CDAB, BADC or DCBA",
                tag=name,
            )
        if settings.place(tag).start < 0:
            yield Fault(
                f"{where}.tags",
                f"{name!r} is at {tag.address}, and address_base = 1 counts from 1",
                f"write {tag.place.area}:1 for the first, or address_base = 0",
                tag=name,
            )
