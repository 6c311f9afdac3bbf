"""One column of batches as a numpy array: the transforms of proto/forebay/v1/batch.proto, undone.

Batches of the same form are done at once: `blocks` holds their bytes, shape (batches, bytes).
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
    found: NDArray[Any] = stacked(_one(data), column, shape)[0]
    return found


def numbers(data: memoryview, column: pb.Column, shape: tuple[int, ...]) -> NDArray[Any]:
    """Undo a transform of numbers; the result has the column's own type."""
    found: NDArray[Any] = _plain(_one(data), column, shape, None)[0]
    return found


def stacked(
    blocks: NDArray[np.uint8], column: pb.Column, shape: tuple[int, ...], take: int | None = None
) -> NDArray[Any]:
    """Give a lane of numbers of several batches: (batches, *shape), BOOL as bool.

    With `take` only that one of the last axis, which is then gone.
    """
    if column.transform == pb.DECIMAL:
        return _decimals(blocks, column, shape, take)
    array = _plain(blocks, column, shape, take)
    return array.astype(np.bool_) if column.type == pb.BOOL else array


def _one(data: memoryview) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8).reshape(1, len(data))


def _plain(
    blocks: NDArray[np.uint8], column: pb.Column, shape: tuple[int, ...], take: int | None
) -> NDArray[Any]:
    dtype = DTYPES.get(column.type)
    if dtype is None or blocks.shape[1] != math.prod(shape) * dtype.itemsize:
        raise DecodingError("a column of another size than its rows need")
    if column.transform == pb.PLAIN:
        array: NDArray[Any] = np.ascontiguousarray(blocks).view(dtype)
        array = array.reshape(len(blocks), *shape)
        return array if take is None else array[..., take]
    words = _planes(blocks, dtype.itemsize, shape, take)
    if column.transform == pb.DELTA:
        words = np.add.accumulate(_unzigzag(words), axis=1, dtype=words.dtype)
    elif column.transform != pb.SHUFFLE:
        raise DecodingError("an unknown transform", code="BadDataEncodingUnsupported")
    return words.view(dtype)


def _planes(
    blocks: NDArray[np.uint8], width: int, shape: tuple[int, ...], take: int | None
) -> NDArray[Any]:
    """Put the bytes of each word together again; each block is a whole number of words."""
    octets = blocks.reshape(len(blocks), width, blocks.shape[1] // width)
    if take is not None:
        octets, shape = octets[:, :, take :: shape[-1]], shape[:-1]
    words: NDArray[Any] = np.ascontiguousarray(octets.transpose(0, 2, 1))
    return words.view(np.dtype(f"<u{width}")).reshape(len(blocks), *shape)


def _unzigzag(words: NDArray[Any]) -> NDArray[Any]:
    """Unfold the sign from the lowest bit: even numbers are positive, odd ones negative."""
    folded = words >> words.dtype.type(1)
    signed: NDArray[Any] = np.where(words & words.dtype.type(1), ~folded, folded)
    return signed


def _decimals(
    blocks: NDArray[np.uint8], column: pb.Column, shape: tuple[int, ...], take: int | None
) -> NDArray[Any]:
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
    members = shape[-1]
    marks = blocks[:, :members]
    if marks.shape[1] != members or np.any(marks > 1):
        raise DecodingError("decimals with marks that are missing, or are none")
    out = np.empty((len(blocks), *(shape if take is None else shape[:-1])), dtype)
    if len(blocks) < 2 or np.array_equal(marks, np.broadcast_to(marks[0], marks.shape)):
        _fill(out, blocks, column, shape, take)
        return out
    kinds, kind_of = np.unique(marks, axis=0, return_inverse=True)
    for kind in range(len(kinds)):
        own = kind_of.reshape(-1) == kind
        part = out[own]
        _fill(part, blocks[own], column, shape, take)
        out[own] = part
    return out


def _fill(
    out: NDArray[Any],
    blocks: NDArray[np.uint8],
    column: pb.Column,
    shape: tuple[int, ...],
    take: int | None,
) -> None:
    """Fill in decimals of batches whose marks are alike."""
    form, size = column.decimal, out.dtype.itemsize
    *rows, members = shape
    height = math.prod(rows)
    marks = blocks[0, :members]
    told, others = np.flatnonzero(marks == 1), np.flatnonzero(marks == 0)
    middle = members + height * len(told) * form.width
    if middle + height * len(others) * size != blocks.shape[1]:
        raise DecodingError("decimals of another size than their rows need")
    pieces = ((told, form.width, slice(members, middle)), (others, size, slice(middle, None)))
    for is_told, (columns, width, piece) in zip((True, False), pieces, strict=True):
        place = None
        if take is not None:
            place = int(np.searchsorted(columns, take))
            if place == len(columns) or columns[place] != take:
                continue
        elif not len(columns):
            continue
        words = _planes(blocks[:, piece], width, (*rows, len(columns)), place)
        to = ... if take is not None else (..., columns)
        if is_told:
            out[to] = _scaled(words, column, out.dtype, dense=bool(rows))
        else:
            out.view(np.dtype(f"<u{size}"))[to] = _summed(words, dense=bool(rows))


def _scaled(
    words: NDArray[Any], column: pb.Column, dtype: np.dtype[Any], *, dense: bool
) -> NDArray[Any]:
    """Make numbers of whole ones."""
    form, size = column.decimal, dtype.itemsize
    whole = _summed(words.astype(np.dtype(f"<u{size}")), dense=dense)
    exact: NDArray[Any] = whole.view(np.dtype(f"<i{size}")).astype(np.float64)
    if form.product:
        return exact * float(dtype.type(10.0**-form.exponent))
    return exact / 10.0**form.exponent


def _summed(words: NDArray[Any], *, dense: bool) -> NDArray[Any]:
    """Undo zigzag and, where rows are alike, differences."""
    steps = _unzigzag(words)
    return np.add.accumulate(steps, axis=1, dtype=words.dtype) if dense else steps


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
