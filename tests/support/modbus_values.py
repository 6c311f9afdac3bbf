"""What registers mean, value by value: the slow and obvious reading that decoding is judged by.

Shares nothing with the driver but the tag: every order is spelled out here, and numbers come from
`struct`, `int.from_bytes` and decimal digits.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from forebay.model import Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.tag import ModbusTag, Order
    from forebay.interfaces import Value

LETTERS: dict[Order, dict[int, str]] = {
    "ABCD": {2: "AB", 4: "ABCD", 6: "ABCDEF", 8: "ABCDEFGH"},
    "CDAB": {2: "AB", 4: "CDAB", 6: "EFCDAB", 8: "GHEFCDAB"},
    "BADC": {2: "BA", 4: "BADC", 6: "BADCFE", 8: "BADCFEHG"},
    "DCBA": {2: "BA", 4: "DCBA", 6: "FEDCBA", 8: "HGFEDCBA"},
    "ABCDEFGH": {2: "AB", 4: "ABCD", 6: "ABCDEF", 8: "ABCDEFGH"},
    "GHEFCDAB": {2: "AB", 4: "CDAB", 6: "EFCDAB", 8: "GHEFCDAB"},
    "BADCFEHG": {2: "BA", 4: "BADC", 6: "BADCFE", 8: "BADCFEHG"},
    "HGFEDCBA": {2: "BA", 4: "DCBA", 6: "FEDCBA", 8: "HGFEDCBA"},
    "CDABGHEF": {2: "AB", 4: "CDAB", 8: "CDABGHEF"},
    "EFGHABCD": {2: "AB", 4: "ABCD", 8: "EFGHABCD"},
    "DCBAHGFE": {2: "BA", 4: "DCBA", 8: "DCBAHGFE"},
    "FEHGBADC": {2: "BA", 4: "BADC", 8: "FEHGBADC"},
}
"""For each order and number of bytes, which byte of the value comes first, second, ... on the wire;
A is the most significant."""

FLOATS = {ValueType.FLOAT32: ">f", ValueType.FLOAT64: ">d"}


def big_endian(wire: bytes, order: Order) -> bytes:
    """Sort the bytes of one number by significance."""
    return bytes(byte for _, byte in sorted(zip(LETTERS[order][len(wire)], wire, strict=True)))


def on_the_wire(value: bytes, order: Order) -> bytes:
    """Lay the bytes of one number, the most significant first, into registers."""
    return bytes(value[ord(letter) - ord("A")] for letter in LETTERS[order][len(value)])


def reading(tag: ModbusTag, order: Order, wire: bytes) -> tuple[Value | None, int]:
    """Give the value and the quality of `tag` whose registers, all of them, are `wire`."""
    if tag.type is ValueType.STRING:
        return _text(tag, order, wire)
    return _number(tag, big_endian(wire, order))


def _number(tag: ModbusTag, raw: bytes) -> tuple[Value | None, int]:
    signed = tag.type.startswith("int")
    if tag.encoding == "bcd":
        return _bcd(raw.hex(), signed=signed)
    if tag.encoding == "mod10k":
        parts = struct.unpack(f">{len(raw) // 2}H", raw)
        if max(parts) > 9999:
            return None, Quality.BAD_DECODING_ERROR
        return int("".join(f"{part:04d}" for part in parts)), Quality.GOOD
    if tag.type in FLOATS:
        number = struct.unpack(">e" if tag.encoding == "float16" else FLOATS[tag.type], raw)[0]
        return number, Quality.GOOD if math.isfinite(number) else Quality.UNCERTAIN
    if tag.place.bit is not None:
        return _bits(tag, f"{int.from_bytes(raw, 'big'):016b}", signed=signed), Quality.GOOD
    return int.from_bytes(raw, "big", signed=signed), Quality.GOOD


def _bits(tag: ModbusTag, digits: str, *, signed: bool) -> Value:
    """Give the meaning of the tag's part of the 16 binary `digits` of its register."""
    low, count = tag.place.bit or 0, tag.place.bits
    piece = digits[16 - low - count : 16 - low]
    if tag.type is ValueType.BOOL:
        return piece == "1"
    return int(piece, 2) - (1 << count) * (signed and piece[0] == "1")


def _bcd(digits: str, *, signed: bool) -> tuple[Value | None, int]:
    sign = 1
    if signed and digits[0] in "0f":
        sign, digits = (-1 if digits[0] == "f" else 1), digits[1:]
    elif signed:
        return None, Quality.BAD_DECODING_ERROR
    if any(digit not in "0123456789" for digit in digits):
        return None, Quality.BAD_DECODING_ERROR
    return sign * int(digits), Quality.GOOD


def _text(tag: ModbusTag, order: Order, wire: bytes) -> tuple[Value | None, int]:
    registers: Sequence[bytes] = [wire[i : i + 2] for i in range(0, len(wire), 2)]
    if LETTERS[order][2] == "BA":
        registers = [register[::-1] for register in registers]
    raw = b"".join(registers)[: tag.length]
    unit = 2 if tag.encoding == "utf-16" else 1
    characters = [raw[i : i + unit] for i in range(0, len(raw), unit)]
    if bytes(unit) in characters:
        characters = characters[: characters.index(bytes(unit))]
    codec = {None: "utf-8", "utf-16": "utf-16-be"}.get(tag.encoding, tag.encoding) or "utf-8"
    try:
        text = b"".join(characters).decode(codec)
    except UnicodeDecodeError:
        return None, Quality.BAD_DECODING_ERROR
    while text.endswith(" "):
        text = text[:-1]
    return text, Quality.GOOD
