"""What is known of the asset: weights and what residuals are normal, learnt or read.

Owns the file `twin.json` of the state directory, and of a model's directory that `train.py` wrote.
Must not know windows.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin import PluginError
from forebay_twin.models import Fitted, How, Model, Numbers, fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE = "twin.json"
FILE_BYTES_MAX = 1024 * 1024
FIT_PART = 0.7
"""Part of the rows that the weights come from; the others tell what residuals are normal."""
LEAST_SPREAD = 1e-9
MARGIN = 0.05
"""Of the range of an input, so much beyond it is as well known."""


@dataclass(frozen=True)
class Known:
    """A model, and what is normal.

    Attributes:
        centre: mean of its residuals where all is well; `spread` their standard deviation.
        least: (inputs) smallest values that were learnt from, less a margin; `most` the greatest.
    """

    model: Model
    centre: float
    spread: float
    least: Numbers
    most: Numbers

    def strange(self, inputs: Numbers) -> npt.NDArray[np.bool_]:
        """(rows) whether an input lies where nothing was learnt; first principles know all."""
        if not isinstance(self.model, Fitted):
            return np.zeros(len(inputs), np.bool_)
        outside = (inputs < self.least) | (inputs > self.most)
        return np.asarray(outside.any(axis=1))


def learn(
    model: Model | None, inputs: Numbers, target: Numbers, times_s: Numbers, how: How
) -> Known:
    """Learn from consecutive rows: the weights if `model` is None, and the residuals.

    Residuals are those of rows behind the ones that gave the weights.

    Raises:
        ValueError: there are too few whole rows.
    """
    cut = round(len(inputs) * FIT_PART) if model is None else 0
    chosen = model or fit(inputs[:cut], target[:cut], how)
    rest = slice(cut, None)
    given = chosen(inputs[rest], target[rest], times_s[rest])
    residuals = target[rest][chosen.before :] - given
    residuals = residuals[~np.isnan(residuals)]
    if len(residuals) < 10:
        raise ValueError(f"{len(residuals)} rows tell too little of what residuals are normal")
    level = float(np.abs(target[~np.isnan(target)]).mean())
    spread = float(residuals.std()) + LEAST_SPREAD * max(level, 1.0)
    least, most = np.nanmin(inputs, axis=0), np.nanmax(inputs, axis=0)
    margin = (most - least) * MARGIN
    return Known(chosen, float(residuals.mean()), spread, least - margin, most + margin)


def write(directory: Path, known: Known, tags: Sequence[str]) -> None:
    """Write the file; it is whole before its name is there. `tags`: target, then inputs."""
    held: dict[str, Any] = {
        "tags": list(tags),
        "centre": known.centre,
        "spread": known.spread,
        "least": known.least.tolist(),
        "most": known.most.tolist(),
    }
    if isinstance(known.model, Fitted):
        held |= {"offset": known.model.offset, "weights": known.model.weights.tolist()}
    fresh = directory / f"{FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(held, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / FILE)


def read(directory: Path, tags: Sequence[str], model: Model | None) -> Known:
    """Read what `write` wrote of the same tags; `model` None: the weights are in the file.

    A tag without a device, as columns of a CSV, fits the tag of that name of any device.

    Raises:
        PluginError: there is none, or it is of other tags, or not whole.
    """
    path = directory / FILE
    try:
        with path.open(encoding="utf-8") as file:
            held = json.loads(file.read(FILE_BYTES_MAX))
        names, centre, spread = held["tags"], float(held["centre"]), float(held["spread"])
        least, most = (np.array(held[name], np.float64) for name in ("least", "most"))
        if least.shape != (len(tags) - 1,) or most.shape != least.shape:
            raise PluginError(f"{path.name}: it knows the range of {least.shape} inputs")
        chosen = model
        if chosen is None:
            weights = np.array(held["weights"], np.float64)
            chosen = Fitted(float(held["offset"]), weights)
            finite = np.isfinite(weights).all() and np.isfinite(chosen.offset)
            if (
                weights.ndim != 2
                or weights.shape[1] not in {len(least), 2 * len(least)}
                or not finite
            ):
                raise PluginError(f"{path.name}: weights are not (lags, inputs) of numbers")
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise PluginError(f"{path.name} cannot be read: {wrong}") from wrong
    if not (np.isfinite(centre) and 0 < spread < float("inf")):
        raise PluginError(f"{path.name}: the spread must be a number over 0")
    fits = len(names) == len(tags) and all(
        tag in {name, tag.split("/", 1)[0] + f"/{name}"}
        for name, tag in zip(names, tags, strict=True)
    )
    if not fits:
        raise PluginError(f"{path.name} is of {names}, and the inputs are {list(tags)}")
    return Known(chosen, centre, spread, least, most)
