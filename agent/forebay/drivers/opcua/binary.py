"""Values of built-in types in OPC UA Binary (Part 6, 5.2): read, or stepped over.

Owns the layout of one value, and the bound on what a length may say. Pure. Must not know messages
(`codec` does), asyncua, tags or batches.
"""

from __future__ import annotations

import struct
import uuid
from typing import Any

NULL = 0
STRING = 12
ARRAY = 64
"""The kind of an array; other kinds are the numbers of built-in types (Part 6, table 1)."""
BAD_STRING = 65
"""The kind of a string that is not UTF-8."""
BAD_DATE = 66
"""The kind of a DateTime that 64 bits of nanoseconds since 1970 do not reach."""
BYTE_STRING, NODE_ID = 15, 17
DATE_TIME, GUID, STATUS_CODE, LOCALIZED_TEXT, STRUCTURE, VARIANT = 13, 14, 19, 21, 22, 24
UNIX_TICKS = 116_444_736_000_000_000
"""1970 in ticks of 100 ns since 1601 (Part 6, 5.2.2.5)."""

_MAX_DEPTH = 16
_FORMATS = {
    1: "?",
    2: "b",
    3: "B",
    4: "h",
    5: "H",
    6: "i",
    7: "I",
    8: "q",
    9: "Q",
    10: "f",
    11: "d",
}
SCALARS = {kind: struct.Struct("<" + code) for kind, code in _FORMATS.items()}
_MAPPED = (STRING, DATE_TIME, GUID, STATUS_CODE, LOCALIZED_TEXT)
FIXED_BYTES = {kind: s.size for kind, s in SCALARS.items()} | {13: 8, 14: 16, 19: 4}
_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")


class CodecError(ValueError):
    """Bytes that are not the answer they claim to be."""


def variant(body: bytes, offset: int) -> tuple[int, Any, int]:
    """Give kind, value (None where there is none to give) and the offset behind."""
    encoding = body[offset]
    scalar = SCALARS.get(encoding)
    if scalar is not None:
        return encoding, scalar.unpack_from(body, offset + 1)[0], offset + 1 + scalar.size
    if encoding in _MAPPED:
        return builtin(encoding, body, offset + 1)
    end = skip_variant(body, offset, 0)
    kind = ARRAY if encoding & 0x80 else encoding & 0x3F
    return kind, body[offset:end] if kind else None, end


def builtin(kind: int, body: bytes, offset: int) -> tuple[int, Any, int]:  # noqa: PLR0911 - a table
    """Read one value of a built-in type: its kind, the value if a column may hold it, what follows.

    The kind is another one where the value cannot be had: BAD_STRING, BAD_DATE. IndexError or
    struct.error if the bytes end too early, CodecError if they are no such value.
    """
    scalar = SCALARS.get(kind)
    if scalar is not None:
        return kind, scalar.unpack_from(body, offset)[0], offset + scalar.size
    if kind == STRING:
        return _text(STRING, body, offset)
    if kind == DATE_TIME:
        elapsed_ns = (_I64.unpack_from(body, offset)[0] - UNIX_TICKS) * 100
        fits = -(1 << 63) <= elapsed_ns < 1 << 63
        return (kind, elapsed_ns, offset + 8) if fits else (BAD_DATE, None, offset + 8)
    if kind == STATUS_CODE:
        return kind, _U32.unpack_from(body, offset)[0], offset + 4
    if kind == GUID:
        encoded = body[offset : offset + 16]
        if len(encoded) < 16:
            raise CodecError("a Guid ends behind its message")
        return kind, str(uuid.UUID(bytes_le=encoded)), offset + 16
    if kind == LOCALIZED_TEXT:
        mask, offset = body[offset], offset + 1
        if mask & 0x01:
            offset = skip_bytes(body, offset)
        return _text(kind, body, offset) if mask & 0x02 else (kind, "", offset)
    return kind, None, skip_builtin(kind, body, offset, 0)


def _text(kind: int, body: bytes, offset: int) -> tuple[int, str | None, int]:
    size, offset = length(body, offset)
    try:
        return kind, body[offset : offset + size].decode(), offset + size
    except UnicodeDecodeError:
        return BAD_STRING, None, offset + size


# --- stepping over what is not read --------------------------------------------------------------


def length(body: bytes, offset: int) -> tuple[int, int]:
    """Read the length of an array or string, -1 being null; it cannot exceed what is left."""
    stated = _I32.unpack_from(body, offset)[0]
    if stated > len(body) - offset - 4:
        raise CodecError(f"a length of {stated} in a message of {len(body)} bytes")
    return max(0, stated), offset + 4


def skip_bytes(body: bytes, offset: int) -> int:
    """Step over a ByteString or String."""
    size, offset = length(body, offset)
    return offset + size


def node_id(body: bytes, offset: int) -> int:
    """Step over a NodeId or ExpandedNodeId."""
    encoding = body[offset]
    form = encoding & 0x3F
    sizes = {0: 2, 1: 4, 2: 7, 4: 19}
    if form in sizes:
        offset += sizes[form]
    elif form in (3, 5):
        offset = skip_bytes(body, offset + 3)
    else:
        raise CodecError(f"a NodeId has the unknown form {form}")
    if encoding & 0x80:
        offset = skip_bytes(body, offset)
    return offset + (4 if encoding & 0x40 else 0)


def extension(body: bytes, offset: int) -> tuple[int, int, int]:
    """Give an ExtensionObject's type (0 if not of ns=0), where its body is, and what follows."""
    kind = 0
    if body[offset] == 0:
        kind = body[offset + 1]
    elif body[offset] == 1 and body[offset + 1] == 0:
        kind = _U16.unpack_from(body, offset + 2)[0]
    offset = node_id(body, offset)
    if body[offset] == 0:
        return kind, offset + 1, offset + 1
    size, start = length(body, offset + 1)
    return kind, start, start + size


def skip_diagnostic(body: bytes, offset: int, depth: int) -> int:
    """Step over a DiagnosticInfo."""
    _check_depth(depth)
    mask = body[offset]
    offset += 1 + 4 * (mask & 0x0F).bit_count()
    if mask & 0x10:
        offset = skip_bytes(body, offset)
    offset += 4 if mask & 0x20 else 0
    return skip_diagnostic(body, offset, depth + 1) if mask & 0x40 else offset


def skip_variant(body: bytes, offset: int, depth: int) -> int:
    """Step over a Variant."""
    _check_depth(depth)
    encoding = body[offset]
    kind, offset = encoding & 0x3F, offset + 1
    count = 1 if kind else 0
    if encoding & 0x80:
        count, offset = length(body, offset)
    if kind in FIXED_BYTES:
        offset += count * FIXED_BYTES[kind]
    else:
        for _ in range(count):
            offset = skip_builtin(kind, body, offset, depth + 1)
    if encoding & 0x40:
        dimensions, offset = length(body, offset)
        offset += 4 * dimensions
    return offset


def skip_builtin(kind: int, body: bytes, offset: int, depth: int) -> int:  # noqa: PLR0911 - a table
    """Step over one value of a built-in type that has no fixed size (Part 6, table 1)."""
    if kind in (12, 15, 16):
        return skip_bytes(body, offset)
    if kind in (17, 18):
        return node_id(body, offset)
    if kind == 20:  # QualifiedName
        return skip_bytes(body, offset + 2)
    if kind == 21:  # LocalizedText
        mask, offset = body[offset], offset + 1
        for _ in range((mask & 0x03).bit_count()):
            offset = skip_bytes(body, offset)
        return offset
    if kind == 22:  # ExtensionObject
        return extension(body, offset)[2]
    if kind == 23:  # DataValue
        mask, offset = body[offset], offset + 1
        offset = skip_variant(body, offset, depth + 1) if mask & 0x01 else offset
        sizes = {0x02: 4, 0x04: 8, 0x10: 2, 0x08: 8, 0x20: 2}
        return offset + sum(size for bit, size in sizes.items() if mask & bit)
    if kind == 24:  # Variant
        return skip_variant(body, offset, depth + 1)
    if kind == 25:  # DiagnosticInfo
        return skip_diagnostic(body, offset, depth)
    raise CodecError(f"a value has the unknown built-in type {kind}")


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise CodecError(f"values nested deeper than {_MAX_DEPTH}")
