"""What a picture's texture is, in numbers: one row for the picture, one row for each of its cells.

Owns the features that the models were trained on; change one and the models must be trained anew.
Pure numpy. Must not know models, files or windows.

The picture is grey, SIDE x SIDE, and told from its own median in its own spread, so that a lamp or
an exposure changes nothing. The row for the picture holds histograms of local binary patterns at
three radii (Ojala, Pietikainen, Maenpaa 2002, uniform patterns), of gradient directions at three
scales (Dalal, Triggs 2005), and energies of bands. A cell's row holds the same energies pooled over
the cell, over wider surroundings, and over the whole picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32]

SIDE = 200
"""Pixels of a normal picture's side."""
CELL = 5
"""Pixels of a cell's side."""
GRID = SIDE // CELL
"""Cells along a side."""

_RADII = (1, 2, 4)
_DIRECTIONS = 8
_SURROUNDINGS = (1, 3, 7)
"""Cells around a cell, on each side, over which its row looks as well."""


def normal(grey: NDArray[np.uint8]) -> Image:
    """Give a SIDE x SIDE picture in its own units: 0 is its median, 1 its spread."""
    image = grey.astype(np.float32)
    low, middle, high = np.percentile(image, (10, 50, 90))
    spread = max((high - low) / 2.0, 4.0)
    found: Image = np.clip((image - np.float32(middle)) / np.float32(spread), -8.0, 8.0)
    return found


def blurred(image: Image, radius: int) -> Image:
    """Smooth with two passes of a box of 2 radius + 1 pixels; the edge goes on as it is."""
    out = image
    for _ in range(2):
        for axis in (0, 1):
            out = _box(out, radius, axis)
    return out


def _box(image: Image, radius: int, axis: int) -> Image:
    pads = [(0, 0)] * image.ndim
    pads[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(image, pads, mode="edge"), axis=axis, dtype=np.float64)
    width, length = 2 * radius + 1, image.shape[axis]
    along = np.moveaxis(sums, axis, 0)
    found = (along[width : width + length] - along[:length]) / width
    return np.moveaxis(found, 0, axis).astype(np.float32)


def of_picture(image: Image) -> Image:
    """Give the features of a whole normal picture, shape (PICTURE_FEATURES,)."""
    scales = [image, blurred(image, 1), blurred(image, 3)]
    patterns = [_patterns(scales[n], radius) for n, radius in enumerate(_RADII)]
    directions = [_direction_histogram(scale) for scale in scales]
    grey = np.histogram(np.clip(image, -3.99, 3.99), 16, (-4, 4))[0] / image.size
    layers = _channels(image)
    channels = layers.reshape(-1, SIDE * SIDE)
    cells = _pooled(layers)
    ends = np.percentile(cells, (5, 95), axis=(1, 2)).ravel()
    bands = np.concatenate([channels.mean(axis=1), channels.std(axis=1), ends])
    coarse = cells.std(axis=(1, 2))
    return np.concatenate(
        [*(np.sqrt(one) for one in (*patterns, *directions, grey)), bands, coarse, _spectrum(image)]
    ).astype(np.float32)


def of_cells(image: Image) -> Image:
    """Give the features of each cell of a normal picture, row by row, (GRID * GRID, k)."""
    cells = _pooled(_channels(image))
    whole = cells.mean(axis=(1, 2), keepdims=True)
    spread = cells.std(axis=(1, 2), keepdims=True) + np.float32(1e-3)
    alone = (cells - whole) / spread
    wide = [_surroundings(cells, radius) for radius in _SURROUNDINGS]
    relative = [(one - whole) / spread for one in wide[:2]]
    along = [_lines(cells, axis) for axis in (1, 2)]
    everywhere = np.broadcast_to(np.concatenate([whole, spread]), (2 * len(cells), GRID, GRID))
    rows, columns = np.mgrid[0:GRID, 0:GRID].astype(np.float32) / GRID
    edge = np.minimum(np.minimum(rows, columns), np.minimum(1 - rows, 1 - columns))
    layers = np.concatenate([cells, alone, *wide, *relative, *along, everywhere, edge[None]])
    return np.ascontiguousarray(layers.reshape(len(layers), -1).T, np.float32)


def _channels(image: Image) -> Image:
    """Give what is looked at in each pixel, (channels, SIDE, SIDE)."""
    levels = [image, *(blurred(image, radius) for radius in (1, 2, 4, 8))]
    bands = [fine - coarse for fine, coarse in pairwise(levels)]
    slopes = [np.gradient(level) for level in levels[1:3]]
    found = [levels[2], levels[4], *(np.abs(band) for band in bands), *bands[2:]]
    found += [np.maximum(bands[1], 0), np.maximum(-bands[1], 0)]
    for down, across in slopes:
        found += [np.abs(down), np.abs(across), np.abs(down + across), np.abs(down - across)]
    return np.stack(found).astype(np.float32)


def _pooled(channels: Image) -> Image:
    found: Image = channels.reshape(len(channels), GRID, CELL, GRID, CELL).mean(axis=(2, 4))
    return found


def _surroundings(cells: Image, radius: int) -> Image:
    return _box(_box(cells, radius, 1), radius, 2)


def _lines(cells: Image, axis: int) -> Image:
    return _box(cells, 4, axis)


def _patterns(image: Image, radius: int) -> NDArray[np.float64]:
    """Give the histogram of uniform local binary patterns of eight neighbours."""
    middle = image[radius:-radius, radius:-radius]
    code = np.zeros(middle.shape, np.uint8)
    places = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    for bit, (down, across) in enumerate(places):
        top, left = radius * (1 + down), radius * (1 + across)
        other = image[top : top + middle.shape[0], left : left + middle.shape[1]]
        code |= (other > middle).astype(np.uint8) << np.uint8(bit)
    counts = np.bincount(_UNIFORM[code].ravel(), minlength=int(_UNIFORM.max()) + 1)
    found: NDArray[np.float64] = counts / middle.size
    return found


def _uniform() -> NDArray[np.uint8]:
    """Number the patterns with at most two changes around the circle; all others are one."""
    table = np.zeros(256, np.uint8)
    known = 0
    for code in range(256):
        bits = [code >> n & 1 for n in range(8)]
        if sum(bits[n] != bits[n - 1] for n in range(8)) <= 2:
            known += 1
            table[code] = known
    return table


_UNIFORM = _uniform()


def _direction_histogram(image: Image) -> NDArray[np.float64]:
    """Give how much gradient lies in each of 8 directions, and of it how much is strong."""
    down, across = np.gradient(image)
    size = np.hypot(down, across)
    turn = (np.arctan2(down, across) % np.pi) * (_DIRECTIONS / np.pi)
    place = np.minimum(turn.astype(np.intp), _DIRECTIONS - 1).ravel()
    total = np.bincount(place, size.ravel(), _DIRECTIONS) / image.size
    strong = np.bincount(place[(size > 0.5).ravel()], minlength=_DIRECTIONS) / image.size
    found: NDArray[np.float64] = np.concatenate([total, strong])
    return found


def _spectrum(image: Image) -> NDArray[np.float64]:
    """Give the logarithm of the power in five rings of frequency and four directions of each."""
    window = np.hanning(SIDE)
    power = np.abs(np.fft.rfft2(image * np.outer(window, window))) ** 2
    down = np.fft.fftfreq(SIDE)[:, None]
    across = np.fft.rfftfreq(SIDE)[None, :]
    distance = np.hypot(down, across)
    ring = np.digitize(distance, (0.01, 0.03, 0.07, 0.15, 0.3, 0.5))
    part = np.minimum(((np.arctan2(down, across) % np.pi) * (4 / np.pi)).astype(np.intp), 3)
    sums = np.bincount((ring * 4 + part).ravel(), power.ravel(), 28)[4:24]
    found: NDArray[np.float64] = np.log(sums + 1e-3)
    return found
