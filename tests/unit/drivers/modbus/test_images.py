"""Images of random registers: every type in every order decodes as the slow reading says.

MODBUS_IMAGES is how many, MODBUS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

from forebay.drivers.modbus.cells import Cell, cell_of
from forebay.drivers.modbus.decode import RUN_MIN, VOID_BYTES, Decoder
from forebay.drivers.modbus.order import Order
from forebay.model import Schema, Tag, ValueType
from support.modbus import tag
from support.modbus_values import reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from forebay.drivers.modbus.tag import ModbusTag

IMAGES = int(os.environ.get("MODBUS_IMAGES", "10000"))
SEED = int(os.environ.get("MODBUS_SEED") or random.SystemRandom().getrandbits(32))
AT_ONCE = 256
SHARES = 8
"""Of the images, for as many cores; each draws its own, by the seed and its number."""
REGISTERS = 4

INTEGERS = [f"{sign}int{bits}" for bits in (16, 32, 64) for sign in ("", "u")]
TAGS = [
    *(tag("holding:0", kind) for kind in (*INTEGERS, "float32", "float64")),
    *(tag("holding:0", kind, encoding="bcd") for kind in INTEGERS),
    *(tag("holding:0", kind, encoding="mod10k") for kind in ("uint32", "uint64")),
    *(tag("holding:0", kind, encoding="48-bit") for kind in ("int64", "uint64")),
    tag("holding:0", "float32", encoding="float16"),
    *(tag(f"holding:0.{byte}", kind) for byte in "hl" for kind in ("int8", "uint8")),
    *(tag(f"holding:0.{bit}", "bool") for bit in (0, 7, 8, 15)),
    *(tag(f"holding:0.{bits}", "int8") for bits in ("0-3", "9-9")),
    *(tag(f"holding:0.{bits}", "uint16") for bits in ("4-7", "6-15")),
    *(tag(f"holding:0.{bits}", "int32") for bits in ("0-15", "3-14")),
    *(tag("holding:0", "string", length=n, encoding=e) for n, e in ((8, None), (7, "latin-1"))),
    tag("holding:0", "string", length=8, encoding="utf-16"),
]
"""One of everything that registers can hold."""
ORDERS: tuple[Order, ...] = get_args(Order)
CASES = [(row, order) for row in TAGS for order in ORDERS if row.misordered(order) is None]


class Column:
    """One tag in one order, read from AT_ONCE images at once: side by side, or all over."""

    def __init__(self, row: ModbusTag, order: Order, rng: random.Random) -> None:
        self.row, self.order, self.size = row, order, row.count * 2
        self._read = reader(row, order)
        schema = Schema("d", "g", tuple(Tag(f"t{i}", "", row.type) for i in range(AT_ONCE)))
        cells: list[Cell | None] = [cell_of(row, order, 0, i * row.count) for i in range(AT_ONCE)]
        places = list(range(AT_ONCE))
        rng.shuffle(places)
        size = AT_ONCE * self.size + VOID_BYTES
        self._decoders = [
            (np.arange(AT_ONCE), Decoder(schema, cells, size)),
            (np.array(places), Decoder(schema, [cells[i] for i in places], size)),
        ]

    def check(self, images: NDArray[np.uint8], turn: int) -> None:
        places, decoder = self._decoders[turn % 2]
        wire = np.ascontiguousarray(images[:, : self.size]).tobytes()
        (values,), marks = decoder.decode(bytearray(wire + bytes(VOID_BYTES)))
        quality = np.zeros(AT_ONCE, np.uint32)
        for mark in marks:
            quality[mark.columns] = mark.status
        pieces = [wire[i : i + self.size] for i in range(0, len(wire), self.size)]
        expected = list(map(self._read, (pieces[i] for i in places.tolist())))
        unlike = quality != np.array([q for _, q in expected], np.uint32)
        unlike |= self._differs(values[0], [value for value, _ in expected])
        if unlike.any():
            i = int(np.argmax(unlike))
            pytest.fail(
                f"{self.row.name} in order {self.order} of {pieces[places[i]].hex(' ', 2)}: "
                f"{values[0, i]!r}, {quality[i]:#x} instead of {expected[i]}; MODBUS_SEED={SEED}"
            )

    def _differs(self, got: NDArray[Any], expected: list[Any]) -> NDArray[np.bool_]:
        """Say which values are not as expected; where none is, the quality says enough."""
        kind = self.row.type
        nothing = "" if kind is ValueType.STRING else 0
        want: NDArray[Any] = np.array([nothing if e is None else e for e in expected], kind.dtype)
        differs: NDArray[np.bool_] = got != want
        if kind.dtype.kind == "f":
            differs &= ~(np.isnan(got) & np.isnan(want))
        return differs


def random_images(rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Give registers of all kinds for ever: any, and such as are digits, text or odd floats."""
    shape = (AT_ONCE, REGISTERS * 2)
    odd = np.array([0, 1, 0x03, 0x7C, 0x7F, 0x80, 0xC0, 0xF0, 0xF8, 0xFC, 0xFF], np.uint8)
    text = np.frombuffer(b"\0\0 AZaz09\xc3\xa4\xe2\x82\xac\xd8\xdc", np.uint8)
    while True:
        yield rng.integers(0, 256, shape, np.uint8)
        digits = rng.integers(0, 10, (2, *shape), np.uint8)
        yield digits[0] << 4 | digits[1]
        signed = digits[0] << 4 | digits[1]
        ends = rng.choice(np.array([0x0, 0xF, 0x8, 0xA], np.uint8), (AT_ONCE, 1))
        signed[:, [0, 1, -2, -1]] = signed[:, [0, 1, -2, -1]] & 0x0F | ends << 4
        yield signed
        yield rng.integers(0, 0x28, shape, np.uint8)
        yield rng.choice(odd, shape)
        yield rng.choice(text, shape)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", range(SHARES))
def test_random_registers_decode_as_the_slow_reading_says(share: int) -> None:
    assert AT_ONCE > RUN_MIN
    rng = random.Random(SEED)
    columns = [Column(row, order, rng) for row, order in CASES]
    given = random_images(np.random.default_rng([SEED, share]))
    turns = -(-IMAGES // (AT_ONCE * SHARES))
    for turn in range(turns):
        image = next(given)
        for column in columns:
            column.check(image, turn // 6)
    made = turns * AT_ONCE
    sys.stdout.write(f"{made} images, {len(CASES)} types and orders each, MODBUS_SEED={SEED}\n")


@pytest.mark.parametrize(
    "row",
    [row for row in TAGS if row.count == 1 and (row.encoding or row.place.field)],
    ids=lambda row: row.name,
)
def test_every_register_there_is_decodes_as_the_slow_reading_says(row: ModbusTag) -> None:
    every = np.arange(65_536, dtype=">u2").view(np.uint8).reshape(-1, AT_ONCE, 2)
    column = Column(row, "ABCD", random.Random(SEED))
    for images in every:
        column.check(images, 0)
