"""Where a value lies in a Modbus device: area, first bit or register, bits of a register.

Pure. Owns the forms of an address. Must not know types or requests.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ADDRESSES = 65_536
"""Addresses in each area (MODBUS Application Protocol V1.1b3, 4.4: a 16-bit address from 0)."""

_PART = r"(?:\.([0-9]{1,2}(?:-[0-9]{1,2})?|[hl]))?"
_NAMED = re.compile(r"(coil|discrete|input|holding):([0-9]{1,5})" + _PART)
_MODICON = re.compile(r"([0134])([0-9]{4,5})" + _PART)
_MODICON_AREAS = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_BYTES = {"l": (0, 7), "h": (8, 15)}


class Address(NamedTuple):
    """A parsed address: `start` counts from 0.

    `bit` is 0 (lowest) to 15 of a register, or None for all of it; from it on the value takes
    `bits` bits. One bit is a bool, unless the address says that it is a field.
    """

    area: str
    start: int
    bit: int | None
    bits: int = 1
    field: bool = False

    @property
    def in_registers(self) -> bool:
        """Whether the area holds 16-bit registers rather than single bits."""
        return self.area in {"holding", "input"}


def parse_address(text: str) -> Address:
    """Read `holding:100`, `holding:100.5`, `40101` or `400101`; ValueError says what is wrong.

    The named form counts from 0, as the wire does. The numbered form is Modicon's and counts from
    1, so that `40101`, `400101` and `holding:100` are the same register. Behind the point is a bit,
    a field of bits (`.4-7`), or a byte of the register: `.h` the high, `.l` the low one.
    """
    if named := _NAMED.fullmatch(text):
        area, start, part = named[1], int(named[2]), named[3]
    elif modicon := _MODICON.fullmatch(text):
        area, start, part = _MODICON_AREAS[modicon[1]], int(modicon[2]) - 1, modicon[3]
        if start < 0:
            raise ValueError(
                f"{text!r} does not exist; numbered addresses count from 1, the first is "
                f"{modicon[1]}{'1'.zfill(len(modicon[2]))}"
            )
    else:
        raise ValueError(
            f"{text!r} is not a Modbus address; write holding:100, input:7, coil:3, discrete:9, "
            "holding:100.5 for one bit, holding:100.4-7 for several, holding:100.h or .l for a "
            "byte, or a number such as 40101"
        )
    if start >= ADDRESSES:
        raise ValueError(f"{text!r} is beyond the last address; the wire counts from 0 to 65535")
    if part is None:
        return Address(area, start, None)
    if area not in {"holding", "input"}:
        raise ValueError(f"{text!r} names a bit of a {area}, which is one bit; leave out .{part}")
    return _part_of_register(text, Address(area, start, None), part)


def _part_of_register(text: str, register: Address, part: str) -> Address:
    """Give the address of the bits that `part` names; ValueError says why there are none."""
    first, _, last = part.partition("-")
    low, high = _BYTES[part] if part in _BYTES else (int(first), int(last or first))
    if low > high:
        raise ValueError(
            f"{text!r} names bits from the highest; write the lowest first: .{high}-{low}"
        )
    if high > 15:
        raise ValueError(f"{text!r} names bit {high}; a register has the bits 0 to 15")
    return register._replace(bit=low, bits=high - low + 1, field=not part.isdigit())
