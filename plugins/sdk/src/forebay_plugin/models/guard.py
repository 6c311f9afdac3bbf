"""Which rows of data a model may see: those without NaN; and which lie outside its training.

Owns the check of values. Must not know what the model gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.models.errors import ModelUnfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_plugin.models.manifest import ModelManifest, Port

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Checked:
    """(rows) of each: whether a row can be computed, and whether a value of it is out of range."""

    computable: Flags
    outside: Flags


class Guard:
    """Checks inputs against the manifest's shapes, names and ranges."""

    def __init__(self, manifest: ModelManifest) -> None:
        self._ports = {port.name: port for port in manifest.data}
        self._fixed = any(isinstance(port.shape[0], int) for port in manifest.data if port.shape)
        self._ranges = {port.name: np.array(port.ranges).T for port in manifest.data if port.ranges}

    def has_rows(self, name: str) -> bool:
        """Whether this input's first dimension is the rows: it is neither constant nor state."""
        return name in self._ports

    def check(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Checked:
        """Look at every value.

        Raises:
            ModelUnfit: an input is missing, has another shape, or inputs differ in rows.
        """
        rows = self._rows(inputs)
        computable, outside = np.ones(rows, bool), np.zeros(rows, bool)
        for name, port in self._ports.items():
            values = np.asarray(inputs[name])
            inner = tuple(range(1, values.ndim))
            missing = np.isnan(values).any(axis=inner) if values.dtype.kind == "f" else False
            if not port.nan:
                computable &= ~np.asarray(missing)
            if name in self._ranges:
                least, most = self._ranges[name]
                outside |= ((values < least) | (values > most)).any(axis=inner)
        if self._fixed:  # such a model takes all rows, or none
            computable &= computable.all()
        return Checked(computable, outside & computable)

    def _rows(self, inputs: Mapping[str, npt.NDArray[Any]]) -> int:
        rows = set()
        for name, port in self._ports.items():
            if name not in inputs:
                raise ModelUnfit(f"there is no value for the input {name}")
            shape = inputs[name].shape
            if not _fits(shape, port):
                raise ModelUnfit(f"input {name} has shape {shape}, model.toml says {port.shape}")
            rows.add(shape[0] if shape else 1)
        if len(rows) != 1:
            raise ModelUnfit(f"inputs differ in rows: {sorted(rows)}")
        return rows.pop()


def _fits(shape: tuple[int, ...], port: Port) -> bool:
    if len(shape) != len(port.shape):
        return False
    columns = len(port.names) or len(port.ranges)
    if columns and shape[-1] != columns:
        return False
    said = zip(shape, port.shape, strict=True)
    return all(not isinstance(size, int) or got == size for got, size in said)
