"""The types of values and kinds of outputs, and how numpy holds them.

Owns the translation between the protocol's numbers, the manifest's words and numpy's dtypes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

BAD = 0x8000_0000
"""StatusCode Bad (OPC UA Part 4, 7.39): the bit that says there is no value."""
UNCERTAIN = 0x4000_0000
"""StatusCode Uncertain: there is a value, and a doubt."""
GOOD = 0


class Type(IntEnum):
    """Type of a value, numbered as `ValueType` of `batch.proto`."""

    BOOL = 1
    INT8 = 2
    UINT8 = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT32 = 10
    FLOAT64 = 11
    STRING = 12
    BYTES = 13

    @property
    def word(self) -> str:
        """The word of manifests and tag lists, such as `float64`."""
        return self.name.lower()

    @property
    def is_number(self) -> bool:
        """Whether values are held by a numpy dtype of fixed size; bool is 0 or 1."""
        return self < Type.STRING

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little-endian dtype of the values; `object` for texts and bytes."""
        return _DTYPES[self]


_DTYPES = {
    of: np.dtype(of.word).newbyteorder("<") if of.is_number else np.dtype(object) for of in Type
}


class Kind(IntEnum):
    """What becomes of an output, numbered as `OutputKind` of `plugin.proto`."""

    TAG = 1
    EVENT = 2
    BLOB = 3
    WRITE = 4


def as_column(values: Any, to: Type) -> npt.NDArray[Any]:  # noqa: ANN401 - any sequence
    """Hold `values` (rows) as `to` without changing any of them.

    Raises:
        ValueError: a value is of another kind, outside the type's range, or not whole.
    """
    if not to.is_number:
        return _as_objects(values, str if to is Type.STRING else bytes)
    given = np.atleast_1d(np.asarray(values))
    if given.dtype.kind not in "biuf":
        raise ValueError(f"{to.word} cannot hold {_shown(values)}")
    if to >= Type.FLOAT32:
        return given.astype(to.dtype)
    if given.dtype.kind == "f":
        whole = np.isfinite(given) & (given == np.floor(given))
        if not whole.all():
            raise ValueError(f"{to.word} cannot hold {given[~whole][0]}")
    least, most = (0, 1) if to is Type.BOOL else (np.iinfo(to.dtype).min, np.iinfo(to.dtype).max)
    if given.size and (int(given.min()) < least or int(given.max()) > most):
        raise ValueError(f"{to.word} cannot hold {given.min()} to {given.max()}")
    return given.astype(to.dtype)


def _as_objects(values: Any, wanted: type) -> npt.NDArray[Any]:  # noqa: ANN401 - any sequence
    rows = [values] if isinstance(values, str | bytes) else list(values)
    for row in rows:
        if not isinstance(row, wanted):
            raise ValueError(f"{wanted.__name__} wanted, not {_shown(row)}")  # noqa: TRY004 - one error for what does not fit
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


def _shown(value: object) -> str:
    return repr(value)[:60]
