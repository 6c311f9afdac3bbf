"""Where a value lies in a Modbus device and in which form: addresses, byte orders, tags.

Owns what a person writes about one value, and every check of it that needs no device. Must not know
requests, connections or how bytes become numbers.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from forebay.model import ValueType
from forebay.settings import TagSettings

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
"""Byte order of a value across its registers, A being the most significant byte.

ABCD is the order of the standard; CDAB has the low register first; BADC has the bytes of each
register swapped; DCBA both. For eight-byte values read on: CDAB stands for GHEFCDAB. One register
and strings know only whether its bytes are swapped.
"""

ADDRESSES = 65_536
"""Addresses in each area (MODBUS Application Protocol V1.1b3, 4.4: a 16-bit address from 0)."""

_NAMED = re.compile(r"(coil|discrete|input|holding):([0-9]{1,5})(?:\.([0-9]{1,2}))?")
_MODICON = re.compile(r"([0134])([0-9]{4,5})(?:\.([0-9]{1,2}))?")
_MODICON_AREAS = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_REGISTERS = {
    ValueType.INT16: 1,
    ValueType.UINT16: 1,
    ValueType.INT32: 2,
    ValueType.UINT32: 2,
    ValueType.FLOAT32: 2,
    ValueType.INT64: 4,
    ValueType.UINT64: 4,
    ValueType.FLOAT64: 4,
}


class Address(NamedTuple):
    """A parsed address: `start` counts from 0; `bit` is 0 (lowest) to 15 of a register, or None."""

    area: str
    start: int
    bit: int | None

    @property
    def in_registers(self) -> bool:
        """Whether the area holds 16-bit registers rather than single bits."""
        return self.area in {"holding", "input"}


def parse_address(text: str) -> Address:
    """Read `holding:100`, `holding:100.5`, `40101` or `400101`; ValueError says what is wrong.

    The named form counts from 0, as the wire does. The numbered form is Modicon's and counts from
    1, so that `40101`, `400101` and `holding:100` are the same register.
    """
    if named := _NAMED.fullmatch(text):
        area, start, bit = named[1], int(named[2]), named[3]
    elif modicon := _MODICON.fullmatch(text):
        area, start, bit = _MODICON_AREAS[modicon[1]], int(modicon[2]) - 1, modicon[3]
        if start < 0:
            raise ValueError(
                f"{text!r} does not exist; numbered addresses count from 1, the first is "
                f"{modicon[1]}{'1'.zfill(len(modicon[2]))}"
            )
    else:
        raise ValueError(
            f"{text!r} is not a Modbus address; write holding:100, input:7, coil:3, discrete:9, "
            "holding:100.5 for one bit, or a number such as 40101"
        )
    if start >= ADDRESSES:
        raise ValueError(f"{text!r} is beyond the last address; the wire counts from 0 to 65535")
    address = Address(area, start, None if bit is None else int(bit))
    if address.bit is not None and not address.in_registers:
        raise ValueError(f"{text!r} names a bit of a {area}, which is one bit; leave out .{bit}")
    if address.bit is not None and address.bit > 15:
        raise ValueError(f"{text!r} names bit {bit}; a register has the bits 0 to 15")
    return address


class ModbusTag(TagSettings):
    """One value in a Modbus device."""

    order: Annotated[
        Order | None, Field(description="Byte order, where it differs from the device's.")
    ] = None
    length: Annotated[
        int | None, Field(ge=1, le=250, description="Length of a string in bytes.")
    ] = None

    @property
    def place(self) -> Address:
        """The parsed address."""
        return parse_address(self.address)

    @property
    def count(self) -> int:
        """How many registers, or bits, the value takes."""
        if self.type is ValueType.STRING:
            return (0 if self.length is None else self.length + 1) // 2
        return _REGISTERS.get(self.type, 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        place = self.place
        self._check_type(place)
        if (self.type is ValueType.STRING) != (self.length is not None):
            raise ValueError(
                "a string needs a length; write its length in bytes"
                if self.length is None
                else f"a {self.type} has no length; leave it out, or choose type string"
            )
        if self.order is not None and not place.in_registers:
            raise ValueError(f"a {place.area} has no byte order; leave out order")
        if place.start + self.count > ADDRESSES:
            raise ValueError(
                f"{self.address!r} with {self.count} registers ends beyond 65535; "
                "choose a lower address or a shorter type"
            )
        return self

    def _check_type(self, place: Address) -> None:
        """Raise ValueError unless a value of this type can lie at `place`."""
        if self.type in {ValueType.INT8, ValueType.UINT8}:
            raise ValueError(
                f"Modbus has no {self.type}: its smallest number is a register of 16 bits; "
                "choose int16 or uint16"
            )
        if not place.in_registers and self.type is not ValueType.BOOL:
            raise ValueError(
                f"a {place.area} is one bit and cannot hold a {self.type}; choose bool"
            )
        if place.in_registers and (self.type is ValueType.BOOL) != (place.bit is not None):
            raise ValueError(
                f"a bool cannot be a whole register; write {self.address}.0 for its lowest bit"
                if place.bit is None
                else f"one bit cannot hold a {self.type}; choose bool, or leave out .{place.bit}"
            )
        if self.type in {ValueType.BOOL, ValueType.STRING} and (self.scale, self.offset) != (1, 0):
            raise ValueError(f"a {self.type} cannot be scaled; leave out scale and offset")
