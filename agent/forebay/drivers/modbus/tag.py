"""What a person writes about one value of a Modbus device: where it lies and in which form.

Owns the tag and every check of it that needs no device. Must not know requests, connections or how
bytes become numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from forebay.drivers.modbus.address import ADDRESSES, parse_address
from forebay.drivers.modbus.order import FLIPS, Order
from forebay.model import ValueType
from forebay.settings import TagSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.drivers.modbus.address import Address

Encoding = Literal["bcd", "mod10k", "float16", "48-bit", "utf-8", "latin-1", "utf-16"]
"""The form of a value on the device, where its type does not tell.

bcd: a decimal digit in each four bits; of a signed type the highest four are the sign, 0 or F.
mod10k: each register holds four decimal digits as a number from 0 to 9999. float16: IEEE 754
binary16. 48-bit: an integer in three registers. The others are of strings; utf-16 has a code unit
in each register.
"""

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
_INTEGER_BITS = {t: t.dtype.itemsize * 8 for t in ValueType if t.dtype.kind in "iu"}
_ENCODED: dict[Encoding, dict[ValueType, int]] = {
    "bcd": {t: n for t, n in _REGISTERS.items() if t in _INTEGER_BITS},
    "mod10k": {ValueType.UINT32: 2, ValueType.UINT64: 4},
    "float16": {ValueType.FLOAT32: 1},
    "48-bit": {ValueType.INT64: 3, ValueType.UINT64: 3},
    "utf-8": {ValueType.STRING: 0},
    "latin-1": {ValueType.STRING: 0},
    "utf-16": {ValueType.STRING: 0},
}
"""Which types each encoding is for, and the registers that they take."""
_SPELLINGS = {
    "float16": "float32 and encoding float16",
    "int48": "int64 and encoding 48-bit",
    "uint48": "uint64 and encoding 48-bit",
    "bcd": "uint16, uint32 or uint64 and encoding bcd",
    "bcd16": "uint16 and encoding bcd",
    "bcd32": "uint32 and encoding bcd",
    "bcd64": "uint64 and encoding bcd",
}
"""What people call a type that is an encoding here."""


def _listed(types: Iterable[ValueType]) -> str:
    *most, last = types
    return f"{', '.join(most)} or {last}" if most else last


class ModbusTag(TagSettings):
    """One value in a Modbus device."""

    order: Annotated[
        Order | None, Field(description="Byte order, where it differs from the device's.")
    ] = None
    length: Annotated[
        int | None, Field(ge=1, le=250, description="Length of a string in bytes.")
    ] = None
    encoding: Annotated[
        Encoding | None,
        Field(description="Form of the value on the device, where its type does not tell."),
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
        if self.encoding is not None:
            return _ENCODED[self.encoding].get(self.type, 1)
        return 1 if self.place.bit is not None else _REGISTERS.get(self.type, 1)

    @property
    def held(self) -> np.dtype[Any]:
        """See `TagSettings.held`."""
        return np.dtype(np.float16) if self.encoding == "float16" else self.type.dtype

    def misordered(self, order: Order) -> str | None:
        """Say why the value cannot have `order`, None if it can."""
        if self.encoding == "48-bit" and FLIPS[order] & 6 not in {0, 6}:
            return f"three registers have no order {order}"
        return None

    @field_validator("type", mode="before")
    @classmethod
    def _explain_type(cls, value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
        if isinstance(value, str) and (meant := _SPELLINGS.get(value.lower())):
            raise ValueError(f"{value} is an encoding, not a type; write type {meant}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        place = self.place
        self._check_type(place)
        self._check_encoding(place)
        self._check_length()
        if self.order is not None and not place.in_registers:
            raise ValueError(f"a {place.area} has no byte order; leave out order")
        if self.order is not None and (why := self.misordered(self.order)):
            raise ValueError(f"{why}; choose ABCD, CDAB, BADC or DCBA")
        if place.start + self.count > ADDRESSES:
            raise ValueError(
                f"{self.address!r} with {self.count} registers ends beyond 65535; "
                "choose a lower address or a shorter type"
            )
        return self

    def _check_type(self, place: Address) -> None:
        """Raise ValueError unless a value of this type can lie at `place`."""
        if not place.in_registers and self.type is not ValueType.BOOL:
            raise ValueError(
                f"a {place.area} is one bit and cannot hold a {self.type}; choose bool"
            )
        if place.in_registers and place.field:
            self._check_field(place)
        elif place.in_registers:
            self._check_whole(place)
        if self.type in {ValueType.BOOL, ValueType.STRING} and (self.scale, self.offset) != (1, 0):
            raise ValueError(f"a {self.type} cannot be scaled; leave out scale and offset")

    def _check_whole(self, place: Address) -> None:
        """Raise ValueError unless the type fits whole registers, or one bit."""
        if self.type in {ValueType.INT8, ValueType.UINT8} and place.bit is None:
            raise ValueError(
                f"a register holds two of {self.type}; write {self.address}.h for its high "
                f"byte or {self.address}.l for its low byte, or choose "
                f"{'int16' if self.type is ValueType.INT8 else 'uint16'}"
            )
        if (self.type is ValueType.BOOL) != (place.bit is not None):
            raise ValueError(
                f"a bool cannot be a whole register; write {self.address}.0 for its lowest bit"
                if place.bit is None
                else f"one bit cannot hold a {self.type}; choose bool, or leave out .{place.bit}"
            )

    def _check_field(self, place: Address) -> None:
        """Raise ValueError unless the type holds every value of the field of bits."""
        most = _INTEGER_BITS.get(self.type)
        if most is None:
            raise ValueError(
                f"bits of a register are an integer, not a {self.type}; "
                f"choose {'uint8' if place.bits <= 8 else 'uint16'}"
            )
        if place.bits > most:
            raise ValueError(
                f"a {self.type} cannot hold {place.bits} bits; "
                f"choose {'int16' if self.type is ValueType.INT8 else 'uint16'} or fewer bits"
            )

    def _check_encoding(self, place: Address) -> None:
        """Raise ValueError unless values of this type exist in the encoding."""
        if self.encoding is None:
            return
        if place.bit is not None:
            raise ValueError(
                f"bits of a register have no encoding; leave out {self.encoding}, or write the "
                "address without what stands behind the point"
            )
        types = _ENCODED[self.encoding]
        if self.type not in types:
            raise ValueError(
                f"no {self.type} is encoded as {self.encoding}; "
                f"choose {_listed(types)}, or leave out encoding"
            )

    def _check_length(self) -> None:
        """Raise ValueError unless there is a length where one is needed."""
        if (self.type is ValueType.STRING) != (self.length is not None):
            raise ValueError(
                "a string needs a length; write its length in bytes"
                if self.length is None
                else f"a {self.type} has no length; leave it out, or choose type string"
            )
        if self.encoding == "utf-16" and self.length is not None and self.length % 2:
            raise ValueError(
                f"a character of utf-16 takes two bytes, so {self.length} bytes cannot be; "
                "write an even length"
            )
