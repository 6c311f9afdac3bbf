"""From a grey picture to a verdict and boxes: the three models, one after the other.

Owns their order and what each is given. `kind` says what the whole picture shows, `cells` where it
is, and `boxes` judges and moves the boxes that the cells propose. Must not know windows or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay_plugin.models import load
from forebay_vision import boxes as boxing
from forebay_vision import texture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay_plugin.models import Model, Trust


class Box(NamedTuple):
    """A box in pixels of the picture: left and top within, right and bottom beyond."""

    left: float
    top: float
    right: float
    bottom: float
    confidence: float


class Seen(NamedTuple):
    """What one picture shows: the likeliest kind, how likely it is, and boxes, surest first."""

    kind: str
    confidence: float
    boxes: list[Box]


class Eye:
    """The three models of one directory."""

    def __init__(self, directory: Path, trust: Trust) -> None:
        """Load and try them.

        Raises:
            ModelError: one cannot be used.
        """
        self.kind: Model = load(directory / "kind", trust)
        self.cells: Model = load(directory / "cells", trust)
        self.judge: Model = load(directory / "boxes", trust)
        self.kinds = _names(self.kind)
        """What a picture may show, in the order of the models' outputs."""

    def look(self, grey: NDArray[np.uint8], size: tuple[int, int], least: float) -> Seen:
        """Look at a picture of `size` (width, height) given as `pictures.grey`.

        Boxes of less than `least` are left out.
        """
        image = texture.normal(grey)
        likely = self.kind.run({"x": texture.of_picture(image)[None]})["likely"][0]
        best = int(likely.argmax())
        maps = self.cells.run({"x": texture.of_cells(image)})["heat"]
        heat = maps[:, best].reshape(texture.GRID, texture.GRID)
        return Seen(
            self.kinds[best],
            float(np.clip(likely[best], 0, 1)),
            self._boxes(heat, best, size, least),
        )

    def _boxes(
        self, heat: NDArray[np.float32], kind: int, size: tuple[int, int], least: float
    ) -> list[Box]:
        found = boxing.propose(heat, kind, len(self.kinds))
        if not len(found.boxes):
            return []
        judged = self.judge.run({"x": found.features})["judged"]
        scores = np.clip(judged[:, 0], 0, 1)
        moved = boxing.moved(found.boxes, judged[:, 1:], heat.shape)
        pixels = np.array([size[0] / texture.GRID, size[1] / texture.GRID] * 2)
        given = []
        for at in boxing.best(moved, scores, least):
            left, top, right, bottom = (moved[at] * pixels).tolist()
            given.append(Box(left, top, right, bottom, float(scores[at])))
        return given


def _names(kind: Model) -> list[str]:
    """Give the names of the kinds, in the order of the model's output."""
    told = kind.manifest.training.get("kinds", [])
    return [str(name) for name in told]
