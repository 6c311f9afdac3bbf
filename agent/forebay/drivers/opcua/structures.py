"""Picks what a tag wants out of an encoded value: an element of an array, a field of a structure.

Owns the layout of arrays, matrices and structures (OPC UA Part 6, 5.2.2.16, 5.2.5 and 5.2.6). Pure.
Must not know asyncua, nodes, or where a structure's definition comes from.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay.drivers.opcua.binary import (
    FIXED_BYTES,
    NULL,
    STRUCTURE,
    VARIANT,
    CodecError,
    builtin,
    length,
    node_id,
    skip_builtin,
)
from forebay.model import Quality

if TYPE_CHECKING:
    from forebay.drivers.opcua.address import Step

_U32 = struct.Struct("<I")
_MAX_DEPTH = 32
_MAX_DIMENSIONS = 8
BAD_INDEX_RANGE_NO_DATA = 0x8037_0000
BAD_NO_DATA = 0x809B_0000


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `kind` is its built-in type, 22 for a structure, whose layout is `inner`.

    `rank` is below 0 for one value, else an array. `optional` fields may be left out.
    """

    name: str
    kind: int
    rank: int
    optional: bool
    inner: Structure | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """How a structure is laid out; `encoding` is the NodeId (namespace, identifier) of that."""

    encoding: tuple[int, object]
    fields: tuple[Field, ...]
    optional: bool = False
    union: bool = False


class _Nothing(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def pick(body: bytes, part: tuple[Step, ...], structure: Structure | None) -> tuple[int, Any, int]:
    """Give kind, value and status of a part of the encoded Variant `body`.

    `structure` is the layout of the structures in it, if known. The status is 0, or says why there
    is no such part: BadIndexRangeNoData behind the end of an array, BadNotSupported where nothing
    can be found, BadNoData for a field that is left out, BadDecodingError for bytes that do not
    keep to their layout. Never raises.
    """
    try:
        return *_Picker(body, structure).variant(0, part), 0
    except _Nothing as nothing:
        return NULL, None, nothing.status
    except (CodecError, struct.error, IndexError):
        return NULL, None, int(Quality.BAD_DECODING_ERROR)


def dimensions(body: bytes) -> tuple[int, ...]:
    """Give the lengths of an encoded array or matrix, () for what is none.

    CodecError, struct.error or IndexError if the bytes are no Variant.
    """
    encoding = body[0]
    if not encoding & 0x80:
        return ()
    count, offset = length(body, 1)
    if not encoding & 0x40:
        return (count,)
    end = _behind(body, encoding & 0x3F, count, offset)
    return _dimensions(body, end, count)


class _Picker:
    def __init__(self, body: bytes, structure: Structure | None) -> None:
        self._body, self._structure = body, structure

    def variant(self, offset: int, part: tuple[Step, ...], depth: int = 0) -> tuple[int, Any]:
        if depth > _MAX_DEPTH:
            raise CodecError(f"values nested deeper than {_MAX_DEPTH}")
        encoding = self._body[offset]
        kind, offset = encoding & 0x3F, offset + 1
        if encoding & 0x80:
            if not part or isinstance(part[0], str):
                raise _Nothing(Quality.BAD_NOT_SUPPORTED)
            count, offset = length(self._body, offset)
            sizes: tuple[int, ...] = (count,)
            if encoding & 0x40:
                sizes = _dimensions(self._body, _behind(self._body, kind, count, offset), count)
            offset = self._element(kind, offset, _flat(part[0], sizes))
            part = part[1:]
        return self._value(kind, offset, part, depth)

    def _value(self, kind: int, offset: int, part: tuple[Step, ...], depth: int) -> tuple[int, Any]:
        """Give what `part` means of one value of a built-in type."""
        if kind == VARIANT:
            return self.variant(offset, part, depth + 1)
        if kind == STRUCTURE:
            structure, start, end = self._extension(offset)
            return self._field(structure, start, end, part, depth)
        if part:
            raise _Nothing(Quality.BAD_NOT_SUPPORTED)
        found, value, _ = builtin(kind, self._body, offset)
        return found, value

    def _extension(self, offset: int) -> tuple[Structure, int, int]:
        """Give where the body of an ExtensionObject of our structure is."""
        body, structure = self._body, self._structure
        start = node_id(body, offset)
        form, start = body[start], start + 1
        if structure is None or form != 1 or _identity(body, offset) != structure.encoding:
            raise _Nothing(Quality.BAD_NOT_SUPPORTED)
        size, start = length(body, start)
        return structure, start, start + size

    def _field(
        self, structure: Structure, offset: int, end: int, part: tuple[Step, ...], depth: int
    ) -> tuple[int, Any]:
        """Walk the fields of a structure up to the one that `part` begins with."""
        if depth > _MAX_DEPTH:
            raise CodecError(f"values nested deeper than {_MAX_DEPTH}")
        if not part or not isinstance(part[0], str):
            raise _Nothing(Quality.BAD_NOT_SUPPORTED)
        offset, present = self._present(structure, offset)
        for field, there in zip(structure.fields, present, strict=True):
            if field.name == part[0]:
                if not there:
                    raise _Nothing(BAD_NO_DATA)
                return self._of_field(field, offset, end, part[1:], depth)
            if there:
                offset = self._skip_field(field, offset, depth)
            if offset > end:
                raise CodecError("a field ends behind its structure")
        raise _Nothing(Quality.BAD_NOT_SUPPORTED)

    def _present(self, structure: Structure, offset: int) -> tuple[int, list[bool]]:
        """Read which fields there are (Part 6, 5.2.6 to 5.2.8)."""
        if structure.union:
            chosen = _U32.unpack_from(self._body, offset)[0]
            return offset + 4, [n + 1 == chosen for n in range(len(structure.fields))]
        if not structure.optional:
            return offset, [True] * len(structure.fields)
        mask = _U32.unpack_from(self._body, offset)[0]
        present, bit = [], 0
        for field in structure.fields:
            present.append(not field.optional or bool(mask >> bit & 1))
            bit += field.optional
        return offset + 4, present

    def _of_field(
        self, field: Field, offset: int, end: int, part: tuple[Step, ...], depth: int
    ) -> tuple[int, Any]:
        if field.rank >= 0:
            if not part or isinstance(part[0], str):
                raise _Nothing(Quality.BAD_NOT_SUPPORTED)
            sizes, count, offset = self._lengths(field, offset)
            wanted = _flat(part[0], sizes)
            part = part[1:]
            for _ in range(min(wanted, count)):
                offset = self._skip_one(field, offset, depth)
        if field.kind == STRUCTURE and field.inner is not None:
            return self._field(field.inner, offset, end, part, depth + 1)
        if field.kind == STRUCTURE or offset > end:
            raise _Nothing(Quality.BAD_NOT_SUPPORTED)
        return self._value(field.kind, offset, part, depth + 1)

    def _skip_field(self, field: Field, offset: int, depth: int) -> int:
        count = 1
        if field.rank >= 0:
            _, count, offset = self._lengths(field, offset)
        for _ in range(count):
            offset = self._skip_one(field, offset, depth)
        return offset

    def _lengths(self, field: Field, offset: int) -> tuple[tuple[int, ...], int, int]:
        """Read the lengths of an array field: its own for a matrix, else of all elements.

        A matrix is its dimensions as an array of Int32, then its elements (Part 6, 5.2.5).
        """
        count, offset = length(self._body, offset)
        if field.rank <= 1:
            return (count,), count, offset
        if count > _MAX_DIMENSIONS:
            raise CodecError(f"a matrix of {count} dimensions")
        sizes = struct.unpack_from(f"<{count}i", self._body, offset)
        total = 1
        for size in sizes:
            total *= max(0, size)
        if total > len(self._body):
            raise CodecError(f"a matrix of {total} elements in {len(self._body)} bytes")
        return sizes, total, offset + 4 * count

    def _skip_one(self, field: Field, offset: int, depth: int) -> int:
        """Step over one value of a field."""
        if depth > _MAX_DEPTH:
            raise CodecError(f"values nested deeper than {_MAX_DEPTH}")
        if field.kind in FIXED_BYTES:
            return offset + FIXED_BYTES[field.kind]
        if field.kind != STRUCTURE:
            return skip_builtin(field.kind, self._body, offset, 0)
        if field.inner is None:
            raise _Nothing(Quality.BAD_NOT_SUPPORTED)
        offset, present = self._present(field.inner, offset)
        for one, there in zip(field.inner.fields, present, strict=True):
            if there:
                offset = self._skip_field(one, offset, depth + 1)
        return offset

    def _element(self, kind: int, offset: int, number: int) -> int:
        """Give where element `number` of an array begins."""
        if kind in FIXED_BYTES:
            return offset + number * FIXED_BYTES[kind]
        for _ in range(number):
            offset = skip_builtin(kind, self._body, offset, 1)
        return offset


def _flat(indexes: Step, sizes: tuple[int, ...]) -> int:
    """Give the number of an element, the last dimension running fastest (Part 6, 5.2.2.16)."""
    if len(indexes) != len(sizes):
        raise _Nothing(Quality.BAD_NOT_SUPPORTED)
    number = 0
    for index, size in zip(indexes, sizes, strict=True):
        if not isinstance(index, int) or index >= size:
            raise _Nothing(BAD_INDEX_RANGE_NO_DATA)
        number = number * size + index
    return number


def _behind(body: bytes, kind: int, count: int, offset: int) -> int:
    if kind in FIXED_BYTES:
        return offset + count * FIXED_BYTES[kind]
    for _ in range(count):
        offset = skip_builtin(kind, body, offset, 1)
    return offset


def _dimensions(body: bytes, offset: int, count: int) -> tuple[int, ...]:
    number, offset = length(body, offset)
    if number > _MAX_DIMENSIONS:
        raise CodecError(f"a matrix of {number} dimensions")
    sizes: tuple[int, ...] = struct.unpack_from(f"<{number}i", body, offset)
    total = 1
    for size in sizes:
        total *= size
    if total != count or min(sizes, default=0) < 0:
        raise CodecError(f"{count} elements in a matrix of {sizes}")
    return sizes


def _identity(body: bytes, offset: int) -> tuple[int, object] | None:
    """Read a numeric or text NodeId as namespace and identifier; None for other forms."""
    form = body[offset] & 0x3F
    if form == 0:
        return 0, body[offset + 1]
    if form == 1:
        return body[offset + 1], int.from_bytes(body[offset + 2 : offset + 4], "little")
    if form not in (2, 3):
        return None
    namespace = int.from_bytes(body[offset + 1 : offset + 3], "little")
    if form == 2:
        return namespace, _U32.unpack_from(body, offset + 3)[0]
    size, start = length(body, offset + 3)
    return namespace, body[start : start + size].decode(errors="replace")
