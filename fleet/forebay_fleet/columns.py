"""One column of a batch as a numpy array: the transforms of proto/forebay/v1/batch.proto, undone.

Written apart from the agent's encoder, so that each checks the other. Pure. Must not know batches
or schemas. Sizes are checked before anything is allocated; every fault is a `DecodingError`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RAW_BYTES = 16 << 20
"""The most that one batch, and so one column, may unpack to."""
MAX_EXPONENT = 9

DTYPES: dict[int, np.dtype[Any]] = {
    pb.BOOL: np.dtype("<u1"),
    pb.INT8: np.dtype("<i1"),
    pb.UINT8: np.dtype("<u1"),
    pb.INT16: np.dtype("<i2"),
    pb.UINT16: np.dtype("<u2"),
    pb.INT32: np.dtype("<i4"),
    pb.UINT32: np.dtype("<u4"),
    pb.INT64: np.dtype("<i8"),
    pb.UINT64: np.dtype("<u8"),
    pb.FLOAT32: np.dtype("<f4"),
    pb.FLOAT64: np.dtype("<f8"),
}


def values(data: memoryview, column: pb.Column, shape: tuple[int, ...]) -> NDArray[Any]:
    """Give a lane's values in `shape`: `str` and `bytes` as objects, BOOL as bool."""
    if column.type in (pb.STRING, pb.BYTES):
        if column.transform != pb.STRINGS:
            raise DecodingError("texts or blobs in a transform for numbers")
        read = _texts if column.type == pb.STRING else _blobs
        return read(data, math.prod(shape)).reshape(shape)
    if column.transform == pb.DECIMAL:
        return _decimals(data, column, shape)
    array = numbers(data, column, shape)
    return array.astype(np.bool_) if column.type == pb.BOOL else array


def numbers(data: memoryview, column: pb.Column, shape: tuple[int, ...]) -> NDArray[Any]:
    """Undo a transform of numbers; the result has the column's own type."""
    dtype = DTYPES.get(column.type)
    if dtype is None or len(data) != math.prod(shape) * dtype.itemsize:
        raise DecodingError("a column of another size than its rows need")
    if column.transform == pb.PLAIN:
        return np.frombuffer(data, dtype).reshape(shape)
    words = _planes(data, dtype.itemsize).reshape(shape)
    if column.transform == pb.DELTA:
        words = np.add.accumulate(_unzigzag(words), axis=0, dtype=words.dtype)
    elif column.transform != pb.SHUFFLE:
        raise DecodingError("an unknown transform", code="BadDataEncodingUnsupported")
    return words.view(dtype)


def _planes(data: memoryview, width: int) -> NDArray[Any]:
    """Put the bytes of each word together again; `data` is a whole number of words."""
    octets = np.frombuffer(data, np.uint8).reshape(width, len(data) // width)
    words: NDArray[Any] = octets.transpose().ravel().view(np.dtype(f"<u{width}"))
    return words


def _unzigzag(words: NDArray[Any]) -> NDArray[Any]:
    """Unfold the sign from the lowest bit: even numbers are positive, odd ones negative."""
    folded = words >> words.dtype.type(1)
    signed: NDArray[Any] = np.where(words & words.dtype.type(1), ~folded, folded)
    return signed


def _decimals(data: memoryview, column: pb.Column, shape: tuple[int, ...]) -> NDArray[Any]:
    """Undo DECIMAL; `Decimal` in batch.proto says what the bytes are."""
    form = column.decimal
    if column.type not in (pb.FLOAT32, pb.FLOAT64):
        raise DecodingError("decimals that are no floats")
    dtype = DTYPES[column.type]
    size = dtype.itemsize
    if form.width not in (1, 2, 4, 8) or form.width > size or form.exponent > MAX_EXPONENT:
        raise DecodingError("decimals of an unknown form", code="BadDataEncodingUnsupported")
    if math.prod(shape) * size > MAX_RAW_BYTES:
        raise DecodingError("decimals over the size limit", code="BadEncodingLimitsExceeded")
    *rows, members = shape
    marks = np.frombuffer(data[:members], np.uint8)
    if len(marks) != members or np.any(marks > 1):
        raise DecodingError("decimals with marks that are missing, or are none")
    told, others = np.flatnonzero(marks == 1), np.flatnonzero(marks == 0)
    height = math.prod(rows)
    middle = members + height * len(told) * form.width
    if middle + height * len(others) * size != len(data):
        raise DecodingError("decimals of another size than their rows need")
    out = np.empty(shape, dtype)
    unsigned, signed = np.dtype(f"<u{size}"), np.dtype(f"<i{size}")
    words = _planes(data[members:middle], form.width).reshape(*rows, len(told))
    whole = _summed(words.astype(unsigned), dense=bool(rows)).view(signed).astype(np.float64)
    if form.product:
        out[..., told] = whole * float(dtype.type(10.0**-form.exponent))
    else:
        out[..., told] = whole / 10.0**form.exponent
    if len(others):
        words = _planes(data[middle:], size).reshape(*rows, len(others))
        out.view(unsigned)[..., others] = _summed(words, dense=bool(rows))
    return out


def _summed(words: NDArray[Any], *, dense: bool) -> NDArray[Any]:
    """Undo zigzag and, where rows are alike, differences."""
    steps = _unzigzag(words)
    return np.add.accumulate(steps, axis=0, dtype=words.dtype) if dense else steps


def _blobs(data: memoryview, count: int) -> NDArray[Any]:
    if len(data) < 4 * count:
        raise DecodingError("a column of texts or blobs that is too short")
    ends = np.cumsum(np.frombuffer(data, "<u4", count), dtype=np.uint64)
    body = bytes(data[4 * count :])
    if (int(ends[-1]) if count else 0) != len(body):
        raise DecodingError("a column of another size than its texts or blobs need")
    out = np.empty(count, object)
    start = 0
    for position, end in enumerate(ends.tolist()):
        out[position] = body[start:end]
        start = end
    return out


def _texts(data: memoryview, count: int) -> NDArray[Any]:
    out = _blobs(data, count)
    try:
        out[:] = [blob.decode() for blob in out]
    except UnicodeDecodeError:
        raise DecodingError("a text that is not UTF-8") from None
    return out
