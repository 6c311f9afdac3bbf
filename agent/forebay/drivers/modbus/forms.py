"""Numbers that no numpy type describes: bit fields, BCD, 48 bits, decimal registers, half floats.

Pure. Owns what a valid number is in each form. Must not know lanes, strings or requests.

Each form takes a gather: the bytes of its values out of the image, most significant first, shape
(values, bytes). It gives the values and, where bytes can be no number, which ones are not: their
values are 0. Nothing here makes an object per value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from forebay.drivers.modbus.tag import Encoding

    Decoded = tuple[NDArray[Any], NDArray[np.bool_] | None]
    Form = Callable[[NDArray[np.uint8]], Decoded]

_NO_DIGITS = 0xFFFF


def _four_digits() -> NDArray[np.uint16]:
    """What each register says in BCD, 0 to 9999, _NO_DIGITS where a part of it is no digit."""
    registers = np.arange(65_536, dtype=np.uint16)
    digits = [registers >> shift & 0xF for shift in (12, 8, 4, 0)]
    number = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    return np.where(np.max(digits, axis=0) > 9, _NO_DIGITS, number).astype(np.uint16)


_DIGITS = _four_digits()


def encoded(encoding: Encoding, *, signed: bool) -> Form:
    """Give the form of numbers in `encoding`, which must not be one of strings."""
    if encoding == "float16":
        return _halves
    if encoding == "mod10k":
        return _decimal_registers
    if encoding == "48-bit":
        return _signed_48 if signed else _unsigned_48
    assert encoding == "bcd", encoding
    return _signed_bcd if signed else _bcd


class Fields:
    """Bit fields within single registers; `lows` and `widths` are in bits, shape (values,)."""

    def __init__(
        self, lows: NDArray[np.uint16], widths: NDArray[np.uint16], *, signed: bool
    ) -> None:
        self._lows = lows
        self._masks = ((1 << widths.astype(np.uint32)) - 1).astype(np.uint16)
        self._signs = (1 << (widths.astype(np.int32) - 1)) if signed else None

    def __call__(self, raw: NDArray[np.uint8]) -> Decoded:
        """Decode; `raw` has shape (values, 2)."""
        words = (raw.view(">u2").reshape(-1) >> self._lows) & self._masks
        if self._signs is None:
            return words, None
        # Two's complement of any width: flip the sign bit, then take its weight away.
        return (words.astype(np.int32) ^ self._signs) - self._signs, None


def _halves(raw: NDArray[np.uint8]) -> Decoded:
    return raw.view(">f2").reshape(-1), None


def _unsigned_48(raw: NDArray[np.uint8]) -> Decoded:
    return _left_aligned(raw).view(">u8").reshape(-1) >> 16, None


def _signed_48(raw: NDArray[np.uint8]) -> Decoded:
    return _left_aligned(raw).view(">i8").reshape(-1) >> 16, None


def _left_aligned(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    wide = np.zeros((len(raw), 8), np.uint8)
    wide[:, :6] = raw
    return wide


def _decimal_registers(raw: NDArray[np.uint8]) -> Decoded:
    return _from_registers(raw.view(">u2"))


def _bcd(raw: NDArray[np.uint8]) -> Decoded:
    return _from_registers(_DIGITS[raw.view(">u2")])


def _signed_bcd(raw: NDArray[np.uint8]) -> Decoded:
    registers = raw.view(">u2").astype(np.uint16)
    signs = registers[:, 0] >> 12
    registers[:, 0] &= 0x0FFF
    # A sign that is none is put where a digit would be, and is none there either.
    registers[(signs != 0) & (signs != 0xF), 0] = _NO_DIGITS
    values, wrong = _from_registers(_DIGITS[registers])
    signed = values.astype(np.int64)
    return np.where(signs == 0, signed, -signed), wrong


def _from_registers(registers: NDArray[np.unsignedinteger[Any]]) -> Decoded:
    """Give the numbers whose registers hold four decimal digits each, the highest first."""
    # One register of all values at a time: to work along rows so short is slow.
    highest, *others = np.ascontiguousarray(registers.T)
    values, wrong = highest.astype(np.uint64), highest > 9999
    for register in others:
        values = values * 10_000 + register
        wrong |= register > 9999
    if not wrong.any():
        return values, None
    values[wrong] = 0
    return values, wrong
