"""Pictures with known defects, and how well a verdict and boxes fit them.

Owns the form of such a folder (`images/KIND_NUMBER.jpg`, `boxes.csv` with image, class, xmin, ymin,
xmax, ymax in pixels), and the figures. Must not know how anything is judged.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay_vision.boxes import overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SMALL = 0.05
"""Share of a picture's area below which a defect is small."""
ALIKE = 0.5
"""Intersection over union from which a box counts as found."""
SIZES = ("large", "small")


class Picture(NamedTuple):
    """One picture: its kind and number by its name, and the boxes (k, 4) of that kind in pixels."""

    path: Path
    kind: str
    number: int
    boxes: NDArray[np.float32]


def read(data: Path) -> list[Picture]:
    """Read a folder, in the order of kinds and numbers. ValueError, OSError if it is none."""
    known: dict[str, list[list[float]]] = {}
    with (data / "boxes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["image"].rpartition("_")[0] == row["class"]:
                edges = [float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")]
                known.setdefault(row["image"], []).append(edges)
    found = []
    for path in (data / "images").iterdir():
        kind, _, number = path.stem.rpartition("_")
        boxes = np.array(known.get(path.name, []), np.float32).reshape(-1, 4)
        found.append(Picture(path, kind, int(number), boxes))
    return sorted(found, key=lambda one: (one.kind, one.number))


@dataclass
class Figures:
    """Counts over pictures; `size` is one of SIZES.

    A box is found if one of those given, that found no other, overlaps it by ALIKE. It is hit if
    its middle lies in one that was given. `covered` and `marked` are pixels in boxes: of the known
    ones those that given boxes cover, and the other way round.
    """

    pictures: int = 0
    right: int = 0
    given: int = 0
    known: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)

    def add(
        self, picture: Picture, kind: str, boxes: NDArray[np.float32], size: tuple[int, int]
    ) -> None:
        """Count a picture of `size` (width, height) for which `kind` and `boxes` were given."""
        self.pictures += 1
        self.right += kind == picture.kind
        self.given += len(boxes)
        matched = _matched(boxes, picture.boxes)
        for number, box in enumerate(picture.boxes):
            share = float((box[2] - box[0]) * (box[3] - box[1])) / (size[0] * size[1])
            of_size = SIZES[share < SMALL]
            self.known[of_size] += 1
            self.found[of_size] += number in matched
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            self.hit[of_size] += any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in boxes)
        truth, shown = _painted(picture.boxes, size), _painted(boxes, size)
        self.pixels["known"] += int(truth.sum())
        self.pixels["given"] += int(shown.sum())
        self.pixels["both"] += int((truth & shown).sum())

    @property
    def accuracy(self) -> float:
        """Share of pictures with the right kind."""
        return self.right / max(1, self.pictures)

    @property
    def precision(self) -> float:
        """Share of the boxes given that found one."""
        return self.found.total() / max(1, self.given)

    def recall(self, size: str) -> float:
        """Share of the known boxes of a size that were found."""
        return self.found[size] / max(1, self.known[size])

    def lines(self) -> list[str]:
        """Give the figures for people."""
        sizes = [
            f"{size}: {self.recall(size):.3f} found at IoU {ALIKE}, "
            f"{self.hit[size] / max(1, self.known[size]):.3f} with their middle in a box "
            f"(of {self.known[size]})"
            for size in SIZES
        ]
        both = self.pixels["both"]
        recall, precision = both / max(1, self.pixels["known"]), both / max(1, self.pixels["given"])
        return [
            f"kind: {self.accuracy:.4f} of {self.pictures} pictures",
            *sizes,
            f"precision of {self.given} boxes at IoU {ALIKE}: {self.precision:.3f}",
            f"pixels: recall {recall:.3f}, precision {precision:.3f}",
        ]


def _matched(given: NDArray[np.float32], known: NDArray[np.float32]) -> set[int]:
    """Give which of `known` are found; `given` come surest first."""
    matched: set[int] = set()
    for box in given if len(known) else ():
        alike, _ = overlaps(box, known)
        for number in np.argsort(-alike).tolist():
            if alike[number] >= ALIKE and number not in matched:
                matched.add(number)
                break
    return matched


def _painted(boxes: Iterable[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    out = np.zeros((size[1], size[0]), bool)
    for left, top, right, bottom in boxes:
        out[round(top) : round(bottom), round(left) : round(right)] = True
    return out
