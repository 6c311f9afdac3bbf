"""What registers mean, value by value: the slow and obvious reading that decoding is judged by.

Shares nothing with the driver but the tag: every order is spelled out here, and numbers come from
`struct`, `int.from_bytes` and decimal digits.
"""

from __future__ import annotations

import math
import struct
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from forebay.model import Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.drivers.modbus.order import Order
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

    Reading = tuple[Value | None, int]

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


def on_the_wire(value: bytes, order: Order) -> bytes:
    """Lay the bytes of one number, the most significant first, into registers."""
    return bytes(value[ord(letter) - ord("A")] for letter in LETTERS[order][len(value)])


def reading(tag: ModbusTag, order: Order, wire: bytes) -> Reading:
    """Give the value and the quality of `tag` whose registers, all of them, are `wire`."""
    return reader(tag, order)(wire)


def reader(tag: ModbusTag, order: Order) -> Callable[[bytes], Reading]:
    """Give `reading` of many registers."""
    if tag.type is ValueType.STRING:
        return partial(_text, tag.encoding, tag.length or 0, LETTERS[order][2] == "BA")
    letters = LETTERS[order][tag.count * 2]
    sort = itemgetter(*(letters.index(letter) for letter in sorted(letters)))
    number = _number(tag)
    return lambda wire: number(bytes(sort(wire)))


def _number(tag: ModbusTag) -> Callable[[bytes], Reading]:
    """Give the meaning of bytes of which the most significant is first."""
    signed = tag.type.startswith("int")
    if tag.encoding == "bcd":
        return partial(_bcd, signed)
    if tag.encoding == "mod10k":
        return _mod10k
    if tag.encoding == "float16":
        return partial(_float, struct.Struct(">e"))
    if tag.type in {ValueType.FLOAT32, ValueType.FLOAT64}:
        return partial(_float, struct.Struct(">f" if tag.type is ValueType.FLOAT32 else ">d"))
    place = tag.place
    if place.bit is not None:
        return partial(_bits, tag.type is ValueType.BOOL, signed, place.bit, place.bits)
    return lambda raw: (int.from_bytes(raw, "big", signed=signed), Quality.GOOD)


def _float(form: struct.Struct, raw: bytes) -> Reading:
    (number,) = form.unpack(raw)
    return number, Quality.GOOD if math.isfinite(number) else Quality.UNCERTAIN


def _bits(boolean: bool, signed: bool, low: int, count: int, raw: bytes) -> Reading:  # noqa: FBT001 - bound by partial
    digits = f"{raw[0]:08b}{raw[1]:08b}"[16 - low - count : 16 - low]
    if boolean:
        return digits == "1", Quality.GOOD
    return int(digits, 2) - (1 << count) * (signed and digits[0] == "1"), Quality.GOOD


def _mod10k(raw: bytes) -> Reading:
    parts = struct.unpack(f">{len(raw) // 2}H", raw)
    if max(parts) > 9999:
        return None, Quality.BAD_DECODING_ERROR
    return int("".join(f"{part:04d}" for part in parts)), Quality.GOOD


def _bcd(signed: bool, raw: bytes) -> Reading:  # noqa: FBT001 - bound by partial
    digits, sign = raw.hex(), 1
    if signed and digits[0] in "0f":
        sign, digits = (-1 if digits[0] == "f" else 1), digits[1:]
    elif signed:
        return None, Quality.BAD_DECODING_ERROR
    if not digits.isdecimal():
        return None, Quality.BAD_DECODING_ERROR
    return sign * int(digits), Quality.GOOD


def _text(encoding: str | None, length: int, swapped: bool, wire: bytes) -> Reading:  # noqa: FBT001 - bound by partial
    if swapped:
        wire = b"".join(wire[i : i + 2][::-1] for i in range(0, len(wire), 2))
    raw = wire[:length]
    unit = 2 if encoding == "utf-16" else 1
    characters = [raw[i : i + unit] for i in range(0, len(raw), unit)]
    if bytes(unit) in characters:
        characters = characters[: characters.index(bytes(unit))]
    codec = {None: "utf-8", "utf-16": "utf-16-be"}.get(encoding, encoding) or "utf-8"
    try:
        text = b"".join(characters).decode(codec)
    except UnicodeDecodeError:
        return None, Quality.BAD_DECODING_ERROR
    while text.endswith(" "):
        text = text[:-1]
    return text, Quality.GOOD
