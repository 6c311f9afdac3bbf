"""One column's values as the bytes of a `Transform` of `proto/forebay/v1/batch.proto`, and back.

Owns the choice of a transform. Pure. Must not know batches, schemas or compression.

Rows of one column are close to each other, so each row is stored as its difference to the row
before, folded so that small differences of either sign are small numbers (zigzag), and the bytes of
equal weight are put side by side: most of them are zeros then, and a fast compressor does the rest.
Floats differ by their bits, which grow with the value. Where a PLC has rounded them, or counts in
tenths, they are whole numbers times a power of ten, which are shorter than their bits: DECIMAL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay._proto import batch_pb2 as pb
from forebay.errors import JournalCorrupt
from forebay.model import ValueType

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RAW_BYTES = 16 << 20
"""The most that one batch, and so one column, may unpack to."""

_UNSIGNED: dict[int, np.dtype[Any]] = {w: np.dtype(f"<u{w}") for w in (1, 2, 4, 8)}
_SIGNED: dict[int, np.dtype[Any]] = {w: np.dtype(f"<i{w}") for w in (1, 2, 4, 8)}
_MAX_EXPONENT = 9
_PROBES = 64
_SPREAD = (np.arange(_PROBES) * 0.6180339887498949) % 1.0
"""Where to look: fractions that fall evenly on whatever number of columns and rows there are."""
_LEAST_VALUES = 16  # below that, finding out costs more than it can give
_LEAST_SCORE = _PROBES / 4  # floats of full precision come to a tenth by chance
_MAX_SCRATCH_BYTES = 4 << 20
_LEAST_SHARE = 8  # one column in so many must be told by numbers


class _Float(NamedTuple):
    """What whole numbers mean to a float type."""

    bits: np.dtype[Any]
    integer: np.dtype[Any]
    exact: float
    """Up to here every whole number is a float."""
    powers: NDArray[Any]
    factors: NDArray[Any]


def _float(kind: ValueType, mantissa_bits: int) -> _Float:
    dtype = kind.dtype
    powers = np.array([10.0**e for e in range(_MAX_EXPONENT + 1)], dtype)
    factors = np.array([10.0**-e for e in range(_MAX_EXPONENT + 1)], dtype)
    width = dtype.itemsize
    return _Float(_UNSIGNED[width], _SIGNED[width], 2.0**mantissa_bits, powers, factors)


_FLOATS = {
    ValueType.FLOAT32: _float(ValueType.FLOAT32, 24),
    ValueType.FLOAT64: _float(ValueType.FLOAT64, 53),
}


class Scratch:
    """Memory that is used again: two arrays of the size of a column. Not for two threads at once.

    Fresh ones cost more than the arithmetic: libc gives so much back to the system and takes it
    again, page by page.
    """

    def __init__(self) -> None:
        """Take nothing yet."""
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def like(self, array: NDArray[Any], number: int) -> NDArray[Any]:
        """Give array `number` (0 or 1), in shape and type like another one; its content is void."""
        size = array.nbytes
        if size > _MAX_SCRATCH_BYTES:
            return np.empty_like(array)
        if size > len(self._buffers[number]):
            self._buffers[number] = np.empty(size, np.uint8)
        return self._buffers[number][:size].view(array.dtype).reshape(array.shape)


class Coded(NamedTuple):
    """A column's bytes, and what its message must say of them."""

    transform: pb.Transform
    data: bytes
    decimal: pb.Decimal | None = None


def forward(array: NDArray[Any], kind: ValueType, scratch: Scratch, *, rows_alike: bool) -> Coded:
    """Choose a transform and apply it.

    `array` has shape (rows,) or (rows, columns). Differences are taken only where successive rows
    belong to the same tag: `rows_alike`.
    """
    if kind is ValueType.STRING:
        texts = [str(text).encode() for text in array.flat]
        lengths = np.array([len(t) for t in texts], "<u4").tobytes()
        return Coded(pb.STRINGS, lengths + b"".join(texts))
    if kind is ValueType.BYTES:
        blobs = array.ravel().tolist()
        lengths = np.fromiter(map(len, blobs), "<u4", len(blobs)).tobytes()
        return Coded(pb.STRINGS, b"".join((lengths, *blobs)))
    width = kind.dtype.itemsize
    plain = np.ascontiguousarray(array, kind.dtype.newbyteorder("<"))
    if kind in _FLOATS:
        decimal = _decimal(plain, _FLOATS[kind], scratch, rows_alike=rows_alike)
        if decimal is not None:
            return decimal
    bits = plain.view(_UNSIGNED[width])
    if rows_alike and len(bits) > 1 and kind is not ValueType.BOOL:
        return Coded(pb.DELTA, _shuffled(_folded(bits, scratch, differences=True)))
    return Coded(pb.SHUFFLE if width > 1 else pb.PLAIN, _shuffled(bits))


def backward(data: bytes, kind: ValueType, column: pb.Column, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - an array of the kind's dtype
    """Undo `forward` as `column` says; JournalCorrupt if the bytes do not fill `shape`."""
    count = int(np.prod(shape))
    if kind is ValueType.STRING or kind is ValueType.BYTES:
        if column.transform != pb.STRINGS:
            raise corrupt("a column of texts or blobs has a transform for numbers")
        return _lengthy(data, count, text=kind is ValueType.STRING).reshape(shape)
    width = kind.dtype.itemsize
    if column.transform == pb.DECIMAL:
        return _undecimal(data, kind, column.decimal, shape)
    if len(data) != count * width:
        raise corrupt("a column has another length than its rows need")
    if column.transform == pb.PLAIN:
        bits: NDArray[Any] = np.frombuffer(data, _UNSIGNED[width]).reshape(shape)
    elif column.transform == pb.SHUFFLE:
        bits = _unshuffled(data, width).reshape(shape)
    elif column.transform == pb.DELTA:
        bits = _unfolded(_unshuffled(data, width).reshape(shape), differences=True)
    else:
        raise corrupt("a column has a transform that its type cannot have")
    return bits.view(kind.dtype.newbyteorder("<"))


def corrupt(what: str) -> JournalCorrupt:
    """Give the error of a payload that does not fit itself."""
    return JournalCorrupt(
        f"a payload is damaged: {what}",
        hint="run `forebay journal status`; the record is set aside",
    )


# --- whole numbers --------------------------------------------------------------------------------


def _folded(bits: NDArray[Any], scratch: Scratch, *, differences: bool) -> NDArray[Any]:
    """Zigzag-map unsigned words, or their differences along rows.

    Gives the scratch's array 1; `bits` may lie in its array 0, and is void after this.
    """
    width = bits.dtype.itemsize
    out = scratch.like(bits, 1)
    if differences:
        out[:1] = bits[:1]
        np.subtract(bits[1:], bits[:-1], out=out[1:])
    else:
        out[:] = bits
    signed = out.view(_SIGNED[width])
    signs = np.right_shift(signed, 8 * width - 1, out=scratch.like(signed, 0))
    signed <<= 1
    signed ^= signs
    return out


def _unfolded(words: NDArray[Any], *, differences: bool) -> NDArray[Any]:
    one = words.dtype.type(1)
    bits: NDArray[Any] = (words >> one) ^ (~(words & one) + one)
    return np.cumsum(bits, axis=0, dtype=bits.dtype) if differences else bits


def _shuffled(array: NDArray[Any]) -> bytes:
    """Put the bytes of equal weight side by side."""
    width = array.dtype.itemsize
    if width == 1:
        return array.tobytes()
    return np.ascontiguousarray(array.reshape(-1).view(np.uint8).reshape(-1, width).T).tobytes()


def _unshuffled(data: bytes, width: int) -> NDArray[Any]:
    octets = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.ascontiguousarray(octets.T).view(_UNSIGNED[width]).reshape(-1)


# --- decimals -------------------------------------------------------------------------------------


def _decimal(
    array: NDArray[Any], form: _Float, scratch: Scratch, *, rows_alike: bool
) -> Coded | None:
    """Tell floats by whole numbers, if enough of them are any; every bit is proved before."""
    if array.size < _LEAST_VALUES or array.nbytes > MAX_RAW_BYTES:
        return None
    with np.errstate(all="ignore"):  # NaN, infinities and overflow are not proved, and so left out
        decimal = _probed(array, form)
        if decimal is None:
            return None
        numbers, proved = _numbers(array, form, decimal, scratch)
    told = proved.all(axis=0) if array.ndim > 1 else proved
    count = int(np.count_nonzero(told))
    if count * _LEAST_SHARE < told.size:
        return None
    rest = b""
    if count < told.size:
        numbers = numbers[..., told]
        others = array.view(form.bits)[..., ~told]
        rest = _shuffled(_folded(others, scratch, differences=rows_alike))
    words = _folded(numbers.view(form.bits), scratch, differences=rows_alike)
    top = int(words.max())
    decimal.width = next(width for width in _UNSIGNED if top < 1 << 8 * width)
    narrow = _shuffled(words.astype(_UNSIGNED[decimal.width], copy=False))
    return Coded(pb.DECIMAL, told.tobytes() + narrow + rest, decimal)


def _probed(array: NDArray[Any], form: _Float) -> pb.Decimal | None:
    """Guess exponent and `product` from a few values; None if they are no decimals.

    A value counts the more the shorter its number is: a long number is right by chance.
    """
    flat = array.reshape(-1)
    sample = flat[(_SPREAD * flat.size).astype(np.intp), None]
    numbers = np.rint(sample * form.powers)
    weights = np.fmax(1.0 - np.abs(numbers) * (4.0 / form.exact), 0.0)
    quotients = ((numbers / form.powers == sample) * weights).sum(axis=0)
    products = ((numbers * form.factors == sample) * weights).sum(axis=0)
    scores = np.stack([quotients, products], axis=1).reshape(-1)
    best = int(scores.argmax())
    if scores[best] < _LEAST_SCORE:
        return None
    return pb.Decimal(exponent=best // 2, product=bool(best % 2))


def _numbers(
    array: NDArray[Any], form: _Float, decimal: pb.Decimal, scratch: Scratch
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the nearest whole numbers, and where they give back every bit of the value.

    The numbers are in the scratch's array 0.
    Float32 needs no doubles here: numbers up to `exact` are float32 themselves, and a quotient or
    product of two such is rounded to the same float32 whether or not a double lies between.
    """
    back, numbers = scratch.like(array, 1), scratch.like(array, 0).view(form.integer)
    np.multiply(array, form.powers[decimal.exponent], out=back)
    np.rint(back, out=back)
    np.copyto(numbers, back, casting="unsafe")
    fits = np.abs(back, out=back) <= form.exact
    np.copyto(back, numbers, casting="unsafe")
    if decimal.product:
        back *= form.factors[decimal.exponent]
    else:
        back /= form.powers[decimal.exponent]
    fits &= back.view(form.bits) == array.view(form.bits)
    return numbers, fits


def _undecimal(
    data: bytes, kind: ValueType, decimal: pb.Decimal, shape: tuple[int, ...]
) -> NDArray[Any]:
    form, count, flags = _FLOATS.get(kind), int(np.prod(shape)), shape[-1]
    if form is None or decimal.width not in _UNSIGNED or decimal.exponent > _MAX_EXPONENT:
        raise corrupt("a decimal column is not one of floats, or its numbers are none")
    size = form.bits.itemsize
    if decimal.width > size or count * size > MAX_RAW_BYTES or len(data) < flags:
        raise corrupt("a decimal column is too large, or too short")
    marks = np.frombuffer(data, np.uint8, flags)
    if int(marks.max(initial=0)) > 1:
        raise corrupt("a decimal column has a mark that is neither 0 nor 1")
    told, numbered = marks == 1, int(np.count_nonzero(marks))
    rows = count // max(flags, 1)
    split = flags + rows * numbered * decimal.width
    if split + rows * (flags - numbered) * size != len(data):
        raise corrupt("a decimal column has another length than its rows need")
    dense, head = len(shape) > 1, shape[:-1]
    words = _unshuffled(data[flags:split], decimal.width).reshape(*head, numbered)
    whole = _unfolded(words.astype(form.bits), differences=dense).view(form.integer)
    numbers, exponent = whole.astype(np.float64), decimal.exponent
    if decimal.product:
        numbers *= float(form.factors[exponent])
    else:
        numbers /= float(form.powers[exponent])
    out: NDArray[Any] = np.empty(shape, kind.dtype.newbyteorder("<"))
    out[..., told] = numbers
    if numbered < flags:
        bits = _unshuffled(data[split:], size).reshape(*head, flags - numbered)
        out.view(form.bits)[..., ~told] = _unfolded(bits, differences=dense)
    return out


def _lengthy(data: bytes, count: int, *, text: bool) -> NDArray[np.object_]:
    """Cut texts or blobs apart by the lengths that stand before them."""
    if len(data) < 4 * count:
        raise corrupt("a column of texts or blobs is too short")
    lengths = np.frombuffer(data, "<u4", count).tolist()
    if sum(lengths) != len(data) - 4 * count:
        raise corrupt("a column of texts or blobs has another length than its values need")
    out, offset = np.empty(count, object), 4 * count
    try:
        for position, length in enumerate(lengths):
            part = data[offset : offset + length]
            out[position] = part.decode() if text else part
            offset += length
    except UnicodeDecodeError:
        raise corrupt("a text is not UTF-8") from None
    return out
