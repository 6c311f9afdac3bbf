"""What an ONNX file says of itself before a runtime loads it: its opsets.

Reads the outer fields of `ModelProto` (onnx.proto, ONNX IR version 13): `opset_import` is field 8,
of `OperatorSetIdProto`: `domain` 1, `version` 2. A walk of fifty lines stands in for a library of
30 MB that a gateway has no other use for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay_plugin.models.errors import ModelMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator

OPSET_IMPORT = 8
DEFAULT_DOMAIN = "ai.onnx"
OPSETS_MAX = 64
VARINT_BYTES_MAX = 10


def opsets(model: bytes) -> dict[str, int]:
    """Give domain -> version; the default domain is called `ai.onnx`.

    Raises:
        ModelMalformed: the bytes are no protobuf message, or hold too many opsets.
    """
    found: dict[str, int] = {}
    for number, value in _fields(model):
        if number == OPSET_IMPORT and isinstance(value, memoryview):
            entry = dict(_fields(value))
            domain, version = entry.get(1, b""), entry.get(2, 0)
            if isinstance(domain, int) or not isinstance(version, int):
                raise ModelMalformed("the ONNX file's opsets cannot be read")
            found[bytes(domain).decode(errors="replace") or DEFAULT_DOMAIN] = version
            if len(found) > OPSETS_MAX:
                raise ModelMalformed(f"the ONNX file has over {OPSETS_MAX} opsets")
    return found


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; what is not a varint or bytes is stepped over."""
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise ModelMalformed("the ONNX file is no protobuf message")
        if at + size > len(view):
            raise ModelMalformed("the ONNX file is cut off")
        if kind == 2:
            yield key >> 3, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(VARINT_BYTES_MAX):
        if at >= len(view):
            raise ModelMalformed("the ONNX file is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise ModelMalformed("the ONNX file is no protobuf message")
