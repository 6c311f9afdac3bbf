"""Windows to tensors and back: shapes only. Pure; must not know models' files or the runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay_plugin.models.manifest import ModelManifest, Port

LAYOUTS = ("auto", "last", "rows", "columns", "flat")
TAKE = re.compile(r"(?P<name>.+?)(?:\[(?P<index>\d{1,9})\])?")


@dataclass(frozen=True)
class Feed:
    """How one input of a model is filled.

    Attributes:
        port: the input.
        columns: index in the window's tags of each column.
        layout: last: the last row (columns); rows: (rows, columns); columns: (columns, rows), for
            models that convolve along time; flat: all rows one behind another, then in the shape of
            the model.
        whole: no dimension of the input is for several windows: one window fills it.
    """

    port: Port
    columns: Sequence[int]
    layout: str
    whole: bool

    def tensor(self, stacked: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """(windows, rows, tags) -> the tensor; (1, rows, tags) of a model that takes one window.

        Raises:
            PluginError: the window has not as many figures as the model takes.
        """
        some = stacked[:, :, self.columns]
        if self.layout == "last":
            some = some[:, -1]
        elif self.layout == "columns":
            some = some.transpose(0, 2, 1)
        shape = self.port.shape
        if self.whole:
            some = some[0]
            if self.layout == "flat":
                some = self._reshaped(some, shape)
        elif self.layout == "flat":
            some = self._reshaped(some, (len(some), *shape[1:]))
        return _cast(some, self.port.type)

    def _reshaped(
        self, some: npt.NDArray[np.float64], shape: Sequence[int | str]
    ) -> npt.NDArray[np.float64]:
        """Give `some` the model's shape, where one free dimension takes what is over."""
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        try:
            return some.reshape(sizes)
        except ValueError:
            raise PluginError(
                f"{some.size} figures do not make {self.port.name} of shape {list(shape)}: "
                "set `window.rows`, the inputs or `layout`"
            ) from None


@dataclass(frozen=True)
class Take:
    """Which figure of which model output an output of the plugin is; None: its only one."""

    name: str
    index: int | None

    def of(self, values: npt.NDArray[Any], windows: int) -> npt.NDArray[Any]:
        """Pick from the model's output for so many windows: one figure for each."""
        flat = values.reshape(windows, -1)
        figures = flat.shape[1]
        if self.index is None and figures != 1:
            raise PluginError(f"{self.name} has {figures} figures a window: say which with `take`")
        index = self.index or 0
        if index >= figures:
            raise PluginError(f"{self.name} has {figures} figures a window, no [{index}]")
        found: npt.NDArray[Any] = flat[:, index]
        return found


def is_single(manifest: ModelManifest) -> bool:
    """Whether a model takes one window a run: its first dimension is fixed, or it keeps state."""
    stateful = any(port.state for port in manifest.inputs.values())
    fixed = [not port.shape or isinstance(port.shape[0], int) for port in manifest.data]
    return stateful or any(fixed)


def is_whole(port: Port) -> bool:
    """Whether no dimension is for several windows: the first is fixed to more than one."""
    return not port.shape or (isinstance(port.shape[0], int) and port.shape[0] != 1)


def chosen_layout(port: Port, settings: Mapping[str, Any]) -> str:
    """Give the layout of an input: the setting, or what its dimensions beside the batch suggest.

    Raises:
        PluginError: the setting is no layout.
    """
    layout = settings.get("layout", "auto")
    if layout not in LAYOUTS:
        raise PluginError(f"settings.layout must be one of {', '.join(LAYOUTS)}")
    if layout != "auto":
        return str(layout)
    if is_whole(port):
        return "flat"
    return {1: "last", 2: "rows"}.get(len(port.shape) - 1, "flat")


def takes(
    outputs: Sequence[str], manifest: ModelManifest, settings: Mapping[str, Any]
) -> dict[str, Take]:
    """Give what each of the plugin's `outputs` is of the model.

    Raises:
        PluginError: `take` is malformed or names no output of the model, or one is left open.
    """
    said = settings.get("take", {})
    if not isinstance(said, dict) or not all(isinstance(one, str) for one in said.values()):
        raise PluginError('settings.take must be a table of OUTPUT = "MODEL_OUTPUT[INDEX]"')
    unknown = set(said) - set(outputs)
    if unknown:
        raise PluginError(f"settings.take.{min(unknown)}: there is no such output of this plugin")
    first = next(iter(manifest.outputs))
    found = {}
    for output in outputs:
        default = output if output in manifest.outputs else ""
        if output == "value":
            default = default or f"{first}[0]"
        match = TAKE.fullmatch(said.get(output, default))
        if match is None or match["name"] not in manifest.outputs:
            raise PluginError(
                f"the output {output} is none of the model's: say which with take.{output} = \""
                f'{first}[0]"; it gives {", ".join(manifest.outputs)}'
            )
        found[output] = Take(match["name"], int(match["index"]) if match["index"] else None)
    return found


def _cast(values: npt.NDArray[np.float64], to: str) -> npt.NDArray[Any]:
    """To the model's type; floats stay as they are where it is one, so that NaN can be seen."""
    if np.dtype(to).kind == "f":
        return values.astype(to)
    missing = ~np.isfinite(values)
    return values if missing.any() else values.astype(to)
