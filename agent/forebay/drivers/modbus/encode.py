"""From one value to the bytes of its registers: the inverse of `decode`, for writes.

Pure. Owns which values a tag can hold. Must not know requests, connections or who may write.

What is returned, once read, decodes to the value that was given: floats to the nearest that the
device can hold, texts without the spaces at their end, which are written for devices that want
them. What cannot is refused with a ValueError that says why: nothing is ever clipped, cut or
rounded to an integer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from forebay.drivers.modbus.order import FLIPS
from forebay.model import ValueType

if TYPE_CHECKING:
    from forebay.drivers.modbus.order import Order
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

_FLOATS = {ValueType.FLOAT32: ">f", ValueType.FLOAT64: ">d"}
_MOST = {">e": "65504", ">f": "3.4028235e38", ">d": "1.7976931348623157e308"}


class Mask(NamedTuple):
    """What a write of some bits of a register does to it.

    The operands of function 22, Mask Write Register (MODBUS Application Protocol V1.1b3, 6.16).
    """

    and_mask: int
    or_mask: int

    def apply(self, register: int) -> int:
        """Give what becomes of `register`, 0 to 65535, as the device would do it."""
        return (register & self.and_mask) | (self.or_mask & ~self.and_mask)


def encode(tag: ModbusTag, order: Order, value: Value) -> bytes | bool:
    """Give what the registers of `tag` must hold so that they read as `value`, raw.

    Two bytes for each register in the order of the wire; a bool for a coil. A tag of some bits of a
    register gives both bytes of it with all other bits 0: write it with `mask`. ValueError if the
    tag cannot hold the value.
    """
    place = tag.place
    if not place.in_registers:
        return _as_bool(value)
    if place.bit is not None:
        return mask(tag, order, value).or_mask.to_bytes(2, "big")
    if tag.type is ValueType.STRING:
        return _text(tag, order, value)
    return _laid_out(_big_endian(tag, value), order)


def mask(tag: ModbusTag, order: Order, value: Value) -> Mask:
    """Give the masks that put `value` into the bits of `tag` and leave the others as they are.

    The tag must be of some bits of a register, in which `order` may have exchanged the bytes.
    ValueError if the bits cannot hold the value.
    """
    place = tag.place
    assert place.bit is not None, tag.address
    if tag.type is ValueType.BOOL:
        number = int(_as_bool(value))
    else:
        signed = tag.type.dtype.kind == "i"
        number = _within(value, *_bounds(place.bits, signed=signed)) & ((1 << place.bits) - 1)
    ones = ((1 << place.bits) - 1) << place.bit
    and_mask, or_mask = 0xFFFF & ~ones, number << place.bit
    if FLIPS[order] & 1:
        and_mask, or_mask = _swapped(and_mask), _swapped(or_mask)
    return Mask(and_mask, or_mask)


def _big_endian(tag: ModbusTag, value: Value) -> bytes:
    """Give the bytes of a number, the most significant first."""
    if tag.type in _FLOATS:
        return _float(">e" if tag.encoding == "float16" else _FLOATS[tag.type], value)
    size = tag.count * 2
    signed = tag.type.dtype.kind == "i"
    if tag.encoding == "bcd":
        digits = size * 2 - signed
        number = _within(value, -(10**digits) + 1 if signed else 0, 10**digits - 1)
        sign = ("f" if number < 0 else "0") if signed else ""
        return bytes.fromhex(f"{sign}{abs(number):0{digits}d}")
    if tag.encoding == "mod10k":
        text = f"{_within(value, 0, 10 ** (tag.count * 4) - 1):0{tag.count * 4}d}"
        return b"".join(int(text[i : i + 4]).to_bytes(2, "big") for i in range(0, len(text), 4))
    return _within(value, *_bounds(size * 8, signed=signed)).to_bytes(size, "big", signed=signed)


def _bounds(bits: int, *, signed: bool) -> tuple[int, int]:
    """Give the least and the greatest integer of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _within(value: Value, least: int, most: int) -> int:
    """Give `value` if it is an integer from `least` to `most`; ValueError says what is wrong."""
    number = _number(value)
    if isinstance(number, float) and not number.is_integer():
        raise ValueError(f"{number!r} is not a whole number, and the tag holds only those")
    if not least <= number <= most:
        raise ValueError(f"{_cut(value)} does not fit; the tag holds {least} to {most}")
    return int(number)


def _float(form: str, value: Value) -> bytes:
    """Give the bytes of the nearest float; ValueError if only an infinity is near."""
    try:
        return struct.pack(form, float(_number(value)))
    except OverflowError:
        most = _MOST[form]
        raise ValueError(f"{_cut(value)} does not fit; the tag holds -{most} to {most}") from None


def _number(value: Value) -> int | float:
    match value:
        case bool() | str():
            raise ValueError(f"{_cut(value)} is not a number, and the tag is one")
        case _:
            return value


def _as_bool(value: Value) -> bool:
    match value:
        case bool():
            return value
        case _:
            raise ValueError(f"{_cut(value)} is neither true nor false, and the tag is one bit")


def _text(tag: ModbusTag, order: Order, value: Value) -> bytes:
    """Give a string's registers, filled up with NUL; ValueError if it would not read the same."""
    match value:
        case str():
            pass
        case _:
            raise ValueError(f"{value!r} is not text, and the tag is")
    encoding = tag.encoding or "utf-8"
    try:
        raw = value.encode("utf-16-be" if encoding == "utf-16" else encoding)
    except UnicodeEncodeError as error:
        character = value[error.start]
        raise ValueError(f"{character!r} does not exist in {encoding}") from None
    assert tag.length is not None
    if len(raw) > tag.length:
        raise ValueError(f"{_cut(value)} takes {len(raw)} bytes, and the tag holds {tag.length}")
    if "\0" in value:
        raise ValueError(f"{_cut(value)} would not read the same: a text ends at the first NUL")
    padded = raw.ljust(tag.count * 2, b"\0")
    return _laid_out(padded, order, unit=2)


def _laid_out(value: bytes, order: Order, unit: int | None = None) -> bytes:
    """Put bytes, the most significant first, in the order of the wire, `unit` bytes at a time."""
    size = unit or len(value)
    flip = FLIPS[order]
    if size == 6:
        words = (4, 2, 0) if flip & 6 else (0, 2, 4)
        return bytes(value[word + (part ^ (flip & 1))] for word in words for part in (0, 1))
    return bytes(value[i ^ (flip & (size - 1))] for i in range(len(value)))


def _swapped(register: int) -> int:
    """Exchange the two bytes of a register."""
    return register >> 8 | (register & 0xFF) << 8


def _cut(value: Value) -> str:
    """Give a value as text that is short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
