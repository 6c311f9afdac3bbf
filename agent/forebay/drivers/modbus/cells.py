"""Where the bytes of each value lie in an image of raw answers.

Pure. Owns the way from a tag and its byte order to places in the image. Must not know what the
bytes mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.drivers.modbus.order import FLIPS

if TYPE_CHECKING:
    from forebay.drivers.modbus.order import Order
    from forebay.drivers.modbus.tag import Encoding, ModbusTag


class Cell(NamedTuple):
    """Where a column's value lies: from `byte` in the image.

    `bit` counts from the lowest of that byte or register; from it on, a field has `bits`, and 0
    says that the value is no field. `length` is that of a string in bytes; `single` says that the
    area holds bits, not registers.
    """

    byte: int
    bit: int = 0
    order: Order = "ABCD"
    length: int = 0
    single: bool = False
    bits: int = 0
    encoding: Encoding | None = None


def cell_of(tag: ModbusTag, order: Order, offset: int, index: int) -> Cell:
    """Give where `tag` lies if its area's bits or registers begin at `offset` of the image.

    `index` counts bits or registers from there. `order` is the device's or the tag's own.
    """
    place = tag.place
    if not place.in_registers:
        return Cell(offset, index, order, single=True)
    byte = offset + index * 2
    if place.field and place.bits == 8 and place.bit in {0, 8} and tag.type.dtype.itemsize == 1:
        # A whole byte: it needs no shifting.
        return Cell(byte + ((place.bit == 0) ^ (FLIPS[order] & 1)), order=order)
    return Cell(
        byte, place.bit or 0, order, tag.length or 0,
        bits=place.bits if place.field else 0, encoding=tag.encoding,
    )  # fmt: skip


def number_places(cell: Cell, width: int) -> list[int]:
    """Give where the bytes of a number lie in the image, most significant first."""
    flip = FLIPS[cell.order]
    if width == 6:
        words = (4, 2, 0) if flip & 6 else (0, 2, 4)
        return [cell.byte + word + (part ^ (flip & 1)) for word in words for part in (0, 1)]
    return [cell.byte + (i ^ (flip & (width - 1))) for i in range(width)]


def text_places(cell: Cell) -> list[int]:
    """Give where the bytes of a string lie in the image, the first character's first."""
    return [cell.byte + (i ^ (FLIPS[cell.order] & 1)) for i in range(cell.length)]


def byte_of_bit(cell: Cell) -> int:
    """Give the byte of a bit; the first coil is the first byte's lowest bit (MB-APP 6.1)."""
    if cell.single:
        return cell.byte + cell.bit // 8
    return cell.byte + ((cell.bit < 8) ^ (FLIPS[cell.order] & 1))
