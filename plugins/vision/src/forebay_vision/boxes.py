"""Boxes around what a map of cells shows: proposed at several heights, judged, and thinned out.

Owns proposals, what is told of each, and which of several that overlap stays. Pure numpy. Must not
know pictures or models: whoever calls has the proposals judged.

A map holds for each cell how likely it is a part of a defect. Cells over a height that touch are
one proposal, and so at every height of HEIGHTS, on the map, on a smoother one, and where only what
is surrounded counts: a large pale defect shows at a low height, two that touch come apart at a high
one. Two that are near each other are a proposal together as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Map = NDArray[np.float32]

HEIGHTS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.88)
MAX_PROPOSALS = 256
"""Of one map; those that were proposed most often are looked at."""
MAX_PARTS = 24
PAIRED = 8
"""Of the parts at one height, so many are put together two by two."""
NEAR = 4
"""Cells between two that may be one defect."""
MIN_CELLS = 3
FEATURES = 36
"""Of a proposal, beside one for each kind."""
EDGES = 4
"""Left, top, right, bottom."""
Corners = tuple[int, int, int, int]
_STRIPS = (-2, -1, 0, 1, 2)
_OVERLAP = 0.45
_INSIDE = 0.8


class Proposals(NamedTuple):
    """Boxes (k, 4) as left, top, right, bottom in cells, ends exclusive; features (k, f)."""

    boxes: Map
    features: Map


def propose(heat: Map, kind: int, kinds: int) -> Proposals:
    """Give what a map (rows, columns) shows of defects of one of `kinds` kinds."""
    found: dict[Corners, list[int]] = {}
    smooth = _smooth(heat)
    for height in HEIGHTS:
        for mask in (heat >= height, smooth >= height, _eroded(heat >= height)):
            parts = _parts(mask)
            for box, cells in [*parts, *_pairs(parts)]:
                known = found.setdefault(box, [cells, 0])
                known[1] += 1
    for box, cells in _parts(_eroded(heat >= HEIGHTS[0])):
        grown = _grown(box, heat.shape)
        found.setdefault(grown, [cells, 0])[1] += 1
    kept = sorted(found.items(), key=lambda one: (-one[1][1], -one[1][0]))[:MAX_PROPOSALS]
    boxes = np.array([box for box, _ in kept], np.float32).reshape(-1, EDGES)
    told = [_features(heat, box, cells, times, kind, kinds) for box, (cells, times) in kept]
    return Proposals(boxes, np.array(told, np.float32).reshape(len(kept), FEATURES + kinds))


def _parts(mask: NDArray[np.bool_]) -> list[tuple[Corners, int]]:
    """Give the box of each component and its cells, the largest first."""
    labels = components(mask)
    parts = []
    for label, cells in zip(*np.unique(labels[labels >= 0], return_counts=True), strict=True):
        if cells >= MIN_CELLS:
            rows, columns = np.nonzero(labels == label)
            low, high = (int(columns.min()), int(rows.min())), (int(columns.max()), int(rows.max()))
            parts.append(((*low, high[0] + 1, high[1] + 1), int(cells)))
    return sorted(parts, key=lambda one: -one[1])[:MAX_PARTS]


def _pairs(parts: list[tuple[Corners, int]]) -> list[tuple[Corners, int]]:
    """Give the box around each two of the largest that are near each other."""
    made = []
    some = parts[:PAIRED]
    for at, (one, cells) in enumerate(some):
        for other, more in some[at + 1 :]:
            apart = max(one[0], other[0]) - min(one[2], other[2])
            below = max(one[1], other[1]) - min(one[3], other[3])
            if max(apart, below) <= NEAR:
                low, high = np.minimum(one, other)[:2], np.maximum(one, other)[2:]
                made.append(((int(low[0]), int(low[1]), int(high[0]), int(high[1])), cells + more))
    return made


def _smooth(heat: Map) -> Map:
    """Give the mean of each cell and its eight neighbours."""
    padded = np.pad(heat, 1, mode="edge")
    rows, columns = heat.shape
    parts = [padded[a : a + rows, b : b + columns] for a in range(3) for b in range(3)]
    found: Map = np.mean(parts, axis=0, dtype=np.float32)
    return found


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give the cells whose four neighbours are of `mask`: what touches by little comes apart."""
    padded = np.pad(mask, 1, constant_values=True)
    across = padded[1:-1, :-2] & padded[1:-1, 2:]
    found: NDArray[np.bool_] = mask & across & padded[:-2, 1:-1] & padded[2:, 1:-1]
    return found


def _grown(box: Corners, shape: tuple[int, ...]) -> Corners:
    left, top, right, bottom = box
    return max(0, left - 1), max(0, top - 1), min(shape[1], right + 1), min(shape[0], bottom + 1)


def components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the cells of `mask` that touch, also over corners, alike; -1 elsewhere."""
    most = mask.size
    labels = np.where(mask, np.arange(most).reshape(mask.shape), most)
    while True:
        padded = np.pad(labels, 1, constant_values=most)
        least = labels
        for down in range(3):
            for across in range(3):
                shifted = padded[down : down + mask.shape[0], across : across + mask.shape[1]]
                least = np.minimum(least, shifted)
        least = np.where(mask, least, most)
        if np.array_equal(least, labels):
            return np.where(mask, labels, -1)
        labels = least


def _features(
    heat: Map,
    box: tuple[int, int, int, int],
    cells: int,
    times: int,
    kind: int,
    kinds: int,
) -> list[float]:
    left, top, right, bottom = box
    rows, columns = heat.shape
    part = heat[top:bottom, left:right]
    width, tall = right - left, bottom - top
    around = heat[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3]
    ring = (around.sum() - part.sum()) / max(1, around.size - part.size)
    strips = [
        *(_line(heat, left + at, None, top, bottom) for at in _STRIPS),
        *(_line(heat, None, top + at, left, right) for at in _STRIPS),
        *(_line(heat, right - 1 + at, None, top, bottom) for at in _STRIPS),
        *(_line(heat, None, bottom - 1 + at, left, right) for at in _STRIPS),
    ]
    return [
        left / columns, top / rows, right / columns, bottom / rows,
        width / columns, tall / rows,
        float(np.log(width / tall)), float(np.sqrt(width * tall)) / rows,
        cells / (width * tall), float(part.std()), float(part.mean()),
        float(part.max()), float(ring),
        float(heat.mean()), times / (3 * len(HEIGHTS)), float((part >= 0.5).mean()),
        *strips, *(float(kind == number) for number in range(kinds)),
    ]  # fmt: skip


def _line(heat: Map, column: int | None, row: int | None, begin: int, end: int) -> float:
    """Give the mean of a part of a column or row; -0.2 beyond the picture."""
    if column is not None:
        inside = 0 <= column < heat.shape[1]
        return float(heat[begin:end, column].mean()) if inside else -0.2
    assert row is not None
    return float(heat[row, begin:end].mean()) if 0 <= row < heat.shape[0] else -0.2


def moved(boxes: Map, offsets: Map, shape: tuple[int, int]) -> Map:
    """Move each edge by a share of the box's own width or height, and no further than the map."""
    size = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]] * 2, axis=1)
    out = boxes + np.clip(offsets, -0.4, 0.4) * size
    limit = np.array([shape[1], shape[0]] * 2, np.float32)
    found: Map = np.clip(out, 0, limit).astype(np.float32)
    return found


def overlaps(one: Map, others: Map) -> tuple[Map, Map]:
    """Give intersection over union of a box with each other, and what share of each lies in it."""
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    own = float(np.prod(one[2:] - one[:2]))
    return shared / np.maximum(own + areas - shared, 1e-6), shared / np.maximum(areas, 1e-6)


def best(boxes: Map, scores: Map, least: float) -> list[int]:
    """Give which boxes stay, the surest first: none that overlaps a surer one by much."""
    order = [int(at) for at in np.argsort(-scores, kind="stable") if scores[at] >= least]
    kept: list[int] = []
    for at in order:
        if kept:
            alike, within = overlaps(boxes[at], boxes[kept])
            _, around = _covers(boxes[at], boxes[kept])
            if (alike > _OVERLAP).any() or (within > _INSIDE).any() or (around > _INSIDE).any():
                continue
        kept.append(at)
    return kept


def _covers(one: Map, others: Map) -> tuple[Map, Map]:
    """As `overlaps`, but the share of `one` that lies in each other."""
    alike, within = overlaps(one, others)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    own = max(float(np.prod(one[2:] - one[:2])), 1e-6)
    return alike, within * areas / own
