"""From an image of raw answers to columns, with vectors: an object per value only for strings.

Pure. Owns byte orders and what counts as a value. Must not know connections or time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.model import Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.drivers.modbus.tag import Order
    from forebay.model import Lane, Schema

VOID_BYTES = 8
"""Every image ends in this many zero bytes, where columns that nothing asks for read zero."""

RUN_MIN = 32
"""From this many neighbouring values on, a slice of the image beats a gather."""


class Cell(NamedTuple):
    """Where a column's value lies: from `byte` in the image.

    `bit` counts from the lowest of that byte or register. `length` is that of a string in bytes;
    `single` says that the area holds bits, not registers.
    """

    byte: int
    bit: int
    order: Order
    length: int
    single: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """Values that lie side by side in one order, both in the image and in the lane."""

    byte: int
    first: int
    count: int
    order: Order


class _Numbers:
    """Decodes one lane of numbers."""

    def __init__(self, lane: Lane, cells: Sequence[Cell]) -> None:
        self._dtype = lane.type.dtype
        self._columns = lane.columns
        self._doubtful = self._dtype.kind == "f"
        self._runs = _find_runs(cells, self._dtype.itemsize)
        loose = np.ones(len(cells), np.bool_)
        for run in self._runs:
            loose[run.first : run.first + run.count] = False
        self._scattered = np.flatnonzero(loose)
        self._gather = np.array(
            [_places(cells[i], self._dtype.itemsize) for i in self._scattered.tolist()], np.intp
        ).reshape(-1)

    def decode(self, image: NDArray[np.uint8], marks: list[Mark]) -> NDArray[Any]:
        out = np.empty((1, len(self._columns)), self._dtype)
        row, width = out[0], self._dtype.itemsize
        for run in self._runs:
            raw = image[run.byte : run.byte + run.count * width]
            row[run.first : run.first + run.count] = _ordered(raw, run.order, self._dtype)
        if len(self._scattered):
            row[self._scattered] = image[self._gather].view(self._dtype.newbyteorder("<"))
        if self._doubtful:
            finite = np.isfinite(row)
            if not finite.all():
                marks.append(Mark(self._columns[~finite], Quality.UNCERTAIN))
        return out


class _Bits:
    """Decodes one lane of bools: coils, discrete inputs and bits of registers alike."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._bytes = np.array([_byte_of_bit(cell) for cell in cells], np.intp)
        self._masks = np.array([1 << (cell.bit % 8) for cell in cells], np.uint8)

    def decode(self, image: NDArray[np.uint8], _: list[Mark]) -> NDArray[Any]:
        row: NDArray[np.bool_] = (image[self._bytes] & self._masks) != 0
        return row.reshape(1, -1)


class _Strings:
    """Decodes one lane of strings: UTF-8 up to the first NUL, without spaces at the end."""

    def __init__(self, lane: Lane, cells: Sequence[Cell]) -> None:
        self._columns = lane.columns
        self._cells = tuple(cells)

    def decode(self, image: NDArray[np.uint8], marks: list[Mark]) -> NDArray[Any]:
        out = np.empty((1, len(self._cells)), object)
        broken = []
        for i, cell in enumerate(self._cells):
            raw = image[cell.byte : cell.byte + (cell.length + 1) // 2 * 2]
            if cell.order in {"BADC", "DCBA"}:
                raw = raw.reshape(-1, 2)[:, ::-1]
            try:
                out[0, i] = raw.tobytes()[: cell.length].split(b"\0", 1)[0].decode().rstrip(" ")
            except UnicodeDecodeError:
                out[0, i] = ""
                broken.append(i)
        if broken:
            marks.append(Mark(self._columns[broken], Quality.BAD_DECODING_ERROR))
        return out


class Mark(NamedTuple):
    """Schema columns whose values, as they were decoded, deserve `status`."""

    columns: NDArray[np.intp]
    status: int


class Decoder:
    """Decodes the images of one plan.

    `cells[i]` is the place of schema column i, None where no request asks for it.
    """

    def __init__(self, schema: Schema, cells: Sequence[Cell | None], image_bytes: int) -> None:
        void = image_bytes - VOID_BYTES
        placed = [Cell(void, 0, "ABCD", 0, single=False) if c is None else c for c in cells]
        self._lanes = [
            _lane_decoder(lane, [placed[column] for column in lane.columns])
            for lane in schema.lanes
        ]

    def decode(self, image: bytearray) -> tuple[tuple[NDArray[Any], ...], list[Mark]]:
        """Give each lane's values, shape (1, k), and the columns that are less than Good.

        The values share no memory with `image`.
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
    """Give the stretches of at least RUN_MIN neighbours."""
    runs, first = [], 0
    for i in range(1, len(cells) + 1):
        if (
            i < len(cells)
            and cells[i].byte == cells[i - 1].byte + width
            and cells[i].order == cells[i - 1].order
        ):
            continue
        if i - first >= RUN_MIN:
            runs.append(_Run(cells[first].byte, first, i - first, cells[first].order))
        first = i
    return runs


def _places(cell: Cell, width: int) -> list[int]:
    """Give where the bytes of a number lie in the image, least significant first."""
    words = range(width // 2)
    high_first = reversed(words) if cell.order in {"ABCD", "BADC"} else words
    low, high = (1, 0) if cell.order in {"ABCD", "CDAB"} else (0, 1)
    return [cell.byte + word * 2 + part for word in high_first for part in (low, high)]


def _ordered(raw: NDArray[np.uint8], order: Order, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View `raw` as numbers.

    CDAB and BADC are little and big endian once the bytes of each register are swapped.
    """
    if order in {"CDAB", "BADC"}:
        raw = raw.view(np.uint16).byteswap().view(np.uint8)
    return raw.view(dtype.newbyteorder(">" if order in {"ABCD", "BADC"} else "<"))


def _byte_of_bit(cell: Cell) -> int:
    """Give the byte of a bit; the first coil is the first byte's lowest bit (MB-APP 6.1)."""
    if cell.single:
        return cell.byte + cell.bit // 8
    low_byte = 1 if cell.order in {"ABCD", "CDAB"} else 0
    return cell.byte + (low_byte if cell.bit < 8 else 1 - low_byte)
