"""Counts what a message of a plugin would unfold to, before it is parsed.

Pure. An empty column is two bytes on the wire and sixty in memory, and all are parsed in one go: 32
MiB of them would take a gigabyte and hold the event loop for more than half a second. Owns that
count, by the field numbers of `plugin.proto` (encoding: protobuf.dev, Encoding, wire types).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_BYTES = 1 << 20
"""What is no longer than this unfolds to little, whatever it holds."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MOST_SHIFT = 63
_SIZES = {_FIXED64: 8, _FIXED32: 4}

# What is looked into: of each message, the fields that hold messages again. Others only count.
_NESTED: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {"FromPlugin": {2: "Ready", 3: "Results"}, "Results": {2: "Column", 3: "Failure"}}
)


def unfolds_to(data: bytes, most: int) -> int:
    """Give how many columns, failures, texts and blobs are in `data`, a message FromPlugin.

    It stops counting at `most` + 1. Where `data` is no such message, the count says nothing: it is
    the parser that refuses it.
    """
    count = 0
    spans = [(0, len(data), "FromPlugin")]
    while spans and count <= most:
        at, end, name = spans.pop()
        fields = _NESTED.get(name, {})
        while at < end and count <= most:
            key, at = _varint(data, at, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                _, at = _varint(data, at, end)
            elif wire == _LENGTH:
                size, at = _varint(data, at, end)
                count += 1
                inner = fields.get(number)
                if inner:
                    spans.append((at, min(at + size, end), inner))
                at += size
            else:
                at += _SIZES.get(wire, end)
    return count


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Give a number and where it ends; at the latest, that is `end`."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > _MOST_SHIFT:
            return 0, end
    return value, at
