"""From an image of raw answers to columns, with vectors: an object per value only for strings.

Owns byte orders and what counts as a value. Must not know connections or time. The same image
always gives the same values; what is remembered of the last image only saves work.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.drivers.modbus import forms
from forebay.drivers.modbus.cells import Cell, byte_of_bit, number_places, text_places
from forebay.drivers.modbus.order import FLIPS
from forebay.model import Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.drivers.modbus.forms import Form
    from forebay.drivers.modbus.order import Order
    from forebay.drivers.modbus.tag import Encoding
    from forebay.model import Lane, Schema

VOID_BYTES = 8
"""Every image ends in this many zero bytes, where columns that nothing asks for read zero."""

RUN_MIN = 32
"""From this many neighbouring values on, a slice of the image beats a gather."""

_ENCODED_BYTES: dict[Encoding, int] = {"float16": 2, "48-bit": 6}
"""What a number takes where that is not the size of its type."""


class Mark(NamedTuple):
    """Schema columns whose values, as they were decoded, deserve `status`."""

    columns: NDArray[np.intp]
    status: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Values that lie side by side in one order, both in the image and in the lane."""

    byte: int
    first: int
    count: int
    order: Order


@dataclass(frozen=True, slots=True)
class _Formed:
    """Values of one form, `at` these places in the lane; `gather` has a row of bytes for each."""

    at: NDArray[np.intp]
    gather: NDArray[np.intp]
    form: Form


class _Numbers:
    """Decodes one lane of numbers."""

    def __init__(self, lane: Lane, cells: Sequence[Cell]) -> None:
        self._dtype = lane.type.dtype
        self._columns = lane.columns
        self._doubtful = self._dtype.kind == "f"
        self._runs = _find_runs(cells, self._dtype.itemsize)
        loose = np.array([not cell.bits and cell.encoding is None for cell in cells], np.bool_)
        for run in self._runs:
            loose[run.first : run.first + run.count] = False
        self._scattered = np.flatnonzero(loose)
        self._gather = np.array(
            [number_places(cells[i], self._dtype.itemsize)[::-1] for i in self._scattered.tolist()],
            np.intp,
        ).reshape(-1)
        self._formed = _find_formed(cells, self._dtype)

    def decode(self, image: NDArray[np.uint8], marks: list[Mark]) -> NDArray[Any]:
        out = np.empty((1, len(self._columns)), self._dtype)
        row, width = out[0], self._dtype.itemsize
        for run in self._runs:
            raw = image[run.byte : run.byte + run.count * width]
            row[run.first : run.first + run.count] = _ordered(raw, run.order, self._dtype)
        if len(self._scattered):
            row[self._scattered] = image[self._gather].view(self._dtype.newbyteorder("<"))
        for formed in self._formed:
            values, wrong = formed.form(image[formed.gather])
            row[formed.at] = values
            if wrong is not None:
                marks.append(Mark(self._columns[formed.at[wrong]], Quality.BAD_DECODING_ERROR))
        if self._doubtful:
            finite = np.isfinite(row)
            if not finite.all():
                marks.append(Mark(self._columns[~finite], Quality.UNCERTAIN))
        return out


class _Bits:
    """Decodes one lane of bools: coils, discrete inputs and bits of registers alike."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._bytes = np.array([byte_of_bit(cell) for cell in cells], np.intp)
        self._masks = np.array([1 << (cell.bit % 8) for cell in cells], np.uint8)

    def decode(self, image: NDArray[np.uint8], _: list[Mark]) -> NDArray[Any]:
        row: NDArray[np.bool_] = (image[self._bytes] & self._masks) != 0
        return row.reshape(1, -1)


class _Strings:
    """Decodes one lane of strings: text up to the first NUL, without spaces at the end.

    Texts hardly ever change, so one is decoded only where its bytes are not those of last time.
    """

    def __init__(self, lane: Lane, cells: Sequence[Cell]) -> None:
        self._columns = lane.columns
        self._gather = np.concatenate([np.array(text_places(cell), np.intp) for cell in cells])
        self._pieces = []
        begin = 0
        for cell in cells:
            self._pieces.append((begin, begin + cell.length, cell.encoding or "utf-8"))
            begin += cell.length
        self._raw: bytes | None = None
        self._row = np.full(len(cells), "", object)
        self._broken: list[int] = []

    def decode(self, image: NDArray[np.uint8], marks: list[Mark]) -> NDArray[Any]:
        raw = image[self._gather].tobytes()
        if raw != self._raw:
            self._refresh(raw)
        if self._broken:
            marks.append(Mark(self._columns[self._broken], Quality.BAD_DECODING_ERROR))
        return self._row.reshape(1, -1).copy()

    def _refresh(self, raw: bytes) -> None:
        before, broken = self._raw, set(self._broken)
        for i, (begin, end, encoding) in enumerate(self._pieces):
            piece = raw[begin:end]
            if before is not None and piece == before[begin:end]:
                continue
            broken.discard(i)
            try:
                self._row[i] = _text(piece, encoding)
            except UnicodeDecodeError:
                self._row[i] = ""
                broken.add(i)
        self._raw, self._broken = raw, sorted(broken)


class Decoder:
    """Decodes the images of one plan.

    `cells[i]` is the place of schema column i, None where no request asks for it.
    """

    def __init__(self, schema: Schema, cells: Sequence[Cell | None], image_bytes: int) -> None:
        void = Cell(image_bytes - VOID_BYTES)
        self._lanes = [
            _lane_decoder(lane, [cells[column] or void for column in lane.columns])
            for lane in schema.lanes
        ]

    def decode(self, image: bytearray) -> tuple[tuple[NDArray[Any], ...], list[Mark]]:
        """Give each lane's values, shape (1, k), and the columns that are less than Good.

        The values share no memory with `image`. A column marked bad has no value: what stands in
        its place means nothing.
        """
        data = np.frombuffer(image, np.uint8)
        marks: list[Mark] = []
        return tuple(lane.decode(data, marks) for lane in self._lanes), marks


def _lane_decoder(lane: Lane, cells: Sequence[Cell]) -> _Numbers | _Bits | _Strings:
    if lane.type is ValueType.BOOL:
        return _Bits(cells)
    if lane.type is ValueType.STRING:
        return _Strings(lane, cells)
    return _Numbers(lane, cells)


def _find_runs(cells: Sequence[Cell], width: int) -> list[_Run]:
    """Give the stretches of at least RUN_MIN neighbours in no special form."""
    runs, first = [], 0
    for i in range(1, len(cells) + 1):
        if i < len(cells) and cells[i] == cells[i - 1]._replace(byte=cells[i - 1].byte + width):
            continue
        if i - first >= RUN_MIN and not cells[first].bits and cells[first].encoding is None:
            runs.append(_Run(cells[first].byte, first, i - first, cells[first].order))
        first = i
    return runs


def _find_formed(cells: Sequence[Cell], dtype: np.dtype[Any]) -> list[_Formed]:
    """Give the values in special forms, those of one form together."""

    def kind(place: int) -> str:
        return cells[place].encoding or ("field" if cells[place].bits else "")

    signed, found = dtype.kind == "i", []
    for name, group in groupby(sorted(range(len(cells)), key=kind), key=kind):
        if not name:
            continue
        at = list(group)
        of = [cells[i] for i in at]
        form: Form
        if of[0].encoding is None:
            lows = np.array([cell.bit for cell in of], np.uint16)
            widths = np.array([cell.bits for cell in of], np.uint16)
            form, width = forms.Fields(lows, widths, signed=signed), 2
        else:
            form = forms.encoded(of[0].encoding, signed=signed)
            width = _ENCODED_BYTES.get(of[0].encoding, dtype.itemsize)
        gather = np.array([number_places(cell, width) for cell in of], np.intp)
        found.append(_Formed(np.array(at, np.intp), gather, form))
    return found


def _ordered(raw: NDArray[np.uint8], order: Order, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View `raw` as numbers.

    Little endian is every exchange at once. What is left of them then, or of an order that is
    nearer to big endian, is done to pairs of registers and to bytes of registers.
    """
    width = dtype.itemsize
    flip = FLIPS[order] & (width - 1)
    little = bool(flip & (width >> 1))
    if little:
        flip ^= width - 1
    if flip & 2:
        raw, flip = raw.view(np.uint32).byteswap().view(np.uint8), flip ^ 3
    if flip & 1:
        raw = raw.view(np.uint16).byteswap().view(np.uint8)
    return raw.view(dtype.newbyteorder("<" if little else ">"))


def _text(raw: bytes, encoding: Encoding) -> str:
    """Read text up to the first NUL; UnicodeDecodeError if the bytes before it are none."""
    unit = 2 if encoding == "utf-16" else 1
    end = raw.find(bytes(unit))
    while end > 0 and end % unit:
        end = raw.find(bytes(unit), end + 1)
    if end >= 0:
        raw = raw[:end]
    return raw.decode("utf-16-be" if unit == 2 else encoding).rstrip(" ")
