"""Parts of encoded values: what is picked is what was encoded, and no bytes lead astray."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import asyncua.ua
import numpy as np
import pytest
from asyncua.ua.ua_binary import pack_uatype, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.codec import Values
from forebay.drivers.opcua.parts import Parts, structured
from forebay.drivers.opcua.structures import (
    BAD_INDEX_RANGE_NO_DATA,
    BAD_NO_DATA,
    Field,
    Structure,
    dimensions,
    pick,
)
from forebay.model import Quality, Schema, Tag, ValueType
from support.fuzz import examples

ua: Any = asyncua.ua
T = ua.VariantType
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - made aware below
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (T.Boolean, st.booleans()),
    (T.SByte, st.integers(-(2**7), 2**7 - 1)),
    (T.Int16, st.integers(-(2**15), 2**15 - 1)),
    (T.Int32, st.integers(-(2**31), 2**31 - 1)),
    (T.UInt64, st.integers(0, 2**64 - 1)),
    (T.Double, st.floats(allow_nan=False)),
    (T.String, st.text(max_size=9)),
    (T.DateTime, MOMENTS),
    (T.Guid, st.uuids()),
    (T.ByteString, st.binary(max_size=9)),
    (T.StatusCode, st.integers(0, 2**32 - 1).map(ua.StatusCode)),
    (T.LocalizedText, st.text(min_size=1, max_size=9).map(ua.LocalizedText)),
    (T.NodeId, st.text(max_size=9).map(lambda text: ua.NodeId(ua.String(text), 3))),
]
ENCODING = (2, 5001)


def shown(value: Any) -> Any:
    """What a column holds of a value."""
    match value:
        case datetime():
            return (value - EPOCH) // timedelta(microseconds=1) * 1000
        case ua.StatusCode():
            return value.value
        case ua.LocalizedText():
            return value.Text
        case bytes() | ua.NodeId():
            return None
        case bool() | int() | float() | str():
            return value
        case _:
            return str(value)


@dataclass
class Made:
    """A random structure: its layout, its bytes, and what stands under each path."""

    layout: Structure
    body: bytes
    leaves: dict[tuple[Any, ...], Any]
    absent: list[tuple[Any, ...]]


def array_of(draw: st.DrawFn, rank: int) -> tuple[tuple[int, ...], bytes]:
    """The lengths of an array field, and the bytes that say them."""
    if rank == 1:
        count = draw(st.integers(0, 3))
        return (count,), struct.pack("<i", count)
    sizes = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return sizes, struct.pack("<3i", 2, *sizes)


@st.composite
def structures(draw: st.DrawFn, depth: int = 0) -> Made:
    form = draw(st.sampled_from(["plain", "optional", "union"]))
    count = draw(st.integers(1, 4))
    chosen = draw(st.integers(1, count))
    fields: list[Field] = []
    body, mask, bit = b"", 0, 0
    leaves: dict[tuple[Any, ...], Any] = {}
    absent: list[tuple[Any, ...]] = []
    for number in range(count):
        name = f"f{number}"
        optional = form == "optional" and draw(st.booleans())
        there = number + 1 == chosen if form == "union" else not optional or draw(st.booleans())
        if optional:
            mask |= there << bit
            bit += 1
        rank = draw(st.sampled_from([-1, -1, 1, 2]))
        inner = draw(structures(depth + 1)) if depth < 2 and draw(st.booleans()) else None
        kind, values = draw(st.sampled_from(KINDS))
        fields.append(
            Field(
                name,
                22 if inner else kind.value,
                rank,
                optional,
                inner.layout if inner else None,
            )
        )
        if not there:
            absent.append((name,))
            continue
        sizes, lengths = ((), b"") if rank < 0 else array_of(draw, rank)
        body += lengths
        for indexes in product(*(range(size) for size in sizes)):
            path = (name, indexes) if sizes else (name,)
            if inner:  # the same in each place: its own randomness is enough
                body += inner.body
                leaves |= {(*path, *below): value for below, value in inner.leaves.items()}
                absent += [(*path, *below) for below in inner.absent]
            else:
                value = draw(values)
                body += pack_uatype(kind, value)
                leaves[path] = shown(value)
    if form == "union":
        body = struct.pack("<I", chosen) + body
    elif form == "optional":
        body = struct.pack("<I", mask) + body
    layout = Structure(ENCODING, tuple(fields), form == "optional", form == "union")
    return Made(layout, body, leaves, absent)


def extension(body: bytes, encoding: tuple[int, int] = ENCODING) -> bytes:
    """An ExtensionObject, without the byte of the Variant around it."""
    head = struct.pack("<BBH", 1, encoding[0], encoding[1])
    return head + struct.pack("<Bi", 1, len(body)) + body


def alike(ours: Any, sent: Any) -> bool:
    if isinstance(sent, float) and math.isnan(sent):
        return math.isnan(ours)
    return bool(ours == sent)


@examples(150)
@given(structures())
def test_every_field_of_a_structure_is_found(made: Made) -> None:
    variant = b"\x16" + extension(made.body)
    for path, value in made.leaves.items():
        _, found, status = pick(variant, path, made.layout)
        assert status == 0, path
        assert alike(found, value), path
    for path in made.absent:
        assert pick(variant, path, made.layout)[1:] == (None, BAD_NO_DATA)
    assert pick(variant, ("nowhere",), made.layout)[2] == Quality.BAD_NOT_SUPPORTED


@examples(50)
@given(st.lists(structures(), min_size=1, max_size=1), st.integers(1, 3))
def test_structures_in_an_array_are_found_by_their_index(made: list[Made], count: int) -> None:
    (one,) = made
    variant = b"\x96" + struct.pack("<i", count) + extension(one.body) * count
    for path, value in one.leaves.items():
        assert alike(pick(variant, ((count - 1,), *path), one.layout)[1], value)
        assert pick(variant, ((count,), *path), one.layout)[2] == BAD_INDEX_RANGE_NO_DATA


@examples(150)
@given(st.data())
def test_every_element_of_an_array_or_matrix_is_found(data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from(KINDS))
    wide, high = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    row = st.lists(values, min_size=wide, max_size=wide)
    grid = data.draw(st.lists(row, min_size=high, max_size=high))
    flat = bytes(variant_to_binary(ua.Variant(grid[0], kind)))
    assert dimensions(flat) == (wide,)
    for x, value in enumerate(grid[0]):
        assert alike(pick(flat, ((x,),), None)[1], shown(value))
    assert pick(flat, ((wide,),), None)[2] == BAD_INDEX_RANGE_NO_DATA
    matrix = bytes(variant_to_binary(ua.Variant(grid, kind)))
    assert dimensions(matrix) == (high, wide)
    for y, x in product(range(high), range(wide)):
        assert alike(pick(matrix, ((y, x),), None)[1], shown(grid[y][x]))
    assert pick(matrix, ((0,),), None)[2] == Quality.BAD_NOT_SUPPORTED


@examples(200)
@given(structures(), st.data())
def test_damaged_bytes_are_a_value_or_a_status(made: Made, data: st.DataObject) -> None:
    variant = bytearray(b"\x16" + extension(made.body))
    for _ in range(data.draw(st.integers(1, 4))):
        variant[data.draw(st.integers(0, len(variant) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(variant[: data.draw(st.integers(1, len(variant)))])
    for path in [*made.leaves, ("f0",), ((0,),)]:
        kind, value, status = pick(cut, path, made.layout)
        assert not status or (kind, value) == (0, None)
    with contextlib.suppress(CodecError, struct.error, IndexError):
        dimensions(cut)


def test_another_type_than_the_one_described_is_no_value() -> None:
    layout = Structure(ENCODING, (Field("x", 6, -1, optional=False),))
    other = b"\x16" + extension(struct.pack("<i", 7), (2, 5002))
    assert pick(other, ("x",), layout)[2] == Quality.BAD_NOT_SUPPORTED
    assert pick(other, ("x",), None)[2] == Quality.BAD_NOT_SUPPORTED


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x02\x02\x00\x89\x13\x00\x00",
        b"\x01\x02\x89\x13",
    ],
)
def test_every_form_of_a_numeric_type_is_known(encoded: bytes) -> None:
    layout = Structure(ENCODING, (Field("x", 6, -1, optional=False),))
    body = b"\x16" + encoded + struct.pack("<Bii", 1, 4, 7)
    assert pick(body, ("x",), layout) == (6, 7, 0)


def test_a_node_asked_for_once_feeds_all_columns_that_want_a_part() -> None:
    addresses = ["i=7;at=[1]", "i=8", "i=7;at=[0]", "i=7", "i=9;at=x", "i=7;at=[9]"]
    tags = tuple(Tag(f"t{n}", a, ValueType.INT32) for n, a in enumerate(addresses))
    schema = Schema("press", "fast", tags)
    parts = Parts(schema)
    assert parts.asking == (0, 1, 3, 4)
    assert {a.identifier for a in structured([schema])} == {9}
    array = bytes(variant_to_binary(ua.Variant([10, 11], T.Int32)))
    values = Values(
        np.array([0, 1, 0], np.uint32),
        np.array([64, 6, 0], np.uint8),
        [array, 5, None],
        np.array([0, 0, 0x80340000], np.uint32),
        np.array([1, 2, 3], np.int64),
        np.array([4, 5, 6], np.int64),
    )
    spread = parts.spread(values)
    assert spread.handles.tolist() == [0, 2, 5, 1, 0, 2, 5]
    assert spread.values[:4] == [11, 10, None, 5]
    assert spread.statuses.tolist() == [
        0,
        0,
        BAD_INDEX_RANGE_NO_DATA,
        0,
        *[0x80340000] * 3,
    ]
    assert spread.source_ticks.tolist() == [1, 1, 1, 2, 3, 3, 3]
    plain = Values(
        np.array([1], np.uint32),
        np.array([6], np.uint8),
        [5],
        np.zeros(1, np.uint32),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
    assert parts.spread(plain) is plain
