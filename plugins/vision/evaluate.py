"""Figures of the vision plugin on pictures with known defects, through its real process.

    python plugins/vision/evaluate.py --data PATH [--from 141] [--to 1000000]

PATH is a folder of the form of NEU-DET: `images/KIND_NUMBER.jpg` and `boxes.csv`. Each picture
goes in as the driver `folder` gives it, in pieces; verdict and boxes are what the gateway would
get. The baseline is the nearest of the pictures below `--from` by their histogram of grey levels;
without any it is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from forebay_plugin.testing import Frame, Ran, run_process
from forebay_vision.benchmarks import Figures, Picture, read

if TYPE_CHECKING:
    from collections.abc import Sequence

PLUGIN = Path(__file__).resolve().parent
CHUNK_BYTES = 8192
AT_ONCE = 60
BEGIN_NS = 1_790_000_000_000_000_000
LEVELS = 32


def frame(found: Sequence[Picture], device: str = "camera") -> Frame:
    """Give the pieces of pictures as rows of a folder's columns, each picture at its own second."""
    rows: dict[str, list[object]] = {
        name: [] for name in ("file", "id", "sha256", "offset", "total", "data")
    }
    times = []
    for second, picture in enumerate(found):
        content = picture.path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        name = hashlib.sha256(f"{picture.path.name}{sha256}".encode()).hexdigest()[:32]
        for offset in range(0, len(content), CHUNK_BYTES):
            data = content[offset : offset + CHUNK_BYTES]
            told = (picture.path.name, name, sha256, offset, len(content), data)
            for column, value in zip(rows.values(), told, strict=True):
                column.append(value)
            times.append(BEGIN_NS + second * 1_000_000_000)
    columns = {
        f"{device}/{name}": np.array(values, np.uint64) if name in ("offset", "total") else values
        for name, values in rows.items()
    }
    return Frame(np.array(times, np.int64), columns)


def judged(found: Sequence[Picture]) -> Figures:
    """Run the plugin's process on pictures, some at a time."""
    figures = Figures()
    for first in range(0, len(found), AT_ONCE):
        some = found[first : first + AT_ONCE]
        ran = run_process(PLUGIN / "plugin.toml", [frame(some)])
        if ran.failures or ran.refused:
            print(f"failures: {ran.failures[:3]}, refused: {ran.refused}")
        for picture, (verdict, boxes) in _told(ran, some).items():
            size = _size(some[picture])
            figures.add(some[picture], verdict, boxes, size)
        for _ in range(len(some) - len(_told(ran, some))):
            figures.pictures += 1  # one without a verdict is a wrong one
    return figures


def _told(ran: Ran, some: Sequence[Picture]) -> dict[int, tuple[str, np.ndarray]]:
    """Give verdict and boxes by the picture's place, which its time tells."""
    told = {}
    pairs = zip(ran["verdict"].times_ns, ran["verdict"].values, ran["boxes"].values, strict=True)
    for time_ns, verdict, text in pairs:
        boxes = [[box[k] for k in ("left", "top", "right", "bottom")] for box in json.loads(text)]
        place = (int(time_ns) - BEGIN_NS) // 1_000_000_000
        assert place < len(some)
        told[place] = (str(verdict), np.array(boxes, np.float32).reshape(-1, 4))
    return told


def _size(picture: Picture) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture.path.read_bytes())) as image:
        return image.size


def histogram(picture: Picture) -> np.ndarray:
    """Give the shares of 32 levels of grey."""
    with Image.open(picture.path) as image:
        levels = np.asarray(image.convert("L"))
    return np.histogram(levels, LEVELS, (0, 256))[0] / levels.size


def baseline(known: Sequence[Picture], asked: Sequence[Picture]) -> float:
    """Give the share of `asked` whose nearest in `known` by grey levels is of their kind."""
    table = np.array([histogram(one) for one in known])
    right = 0
    for one in asked:
        nearest = int(np.abs(table - histogram(one)).sum(axis=1).argmin())
        right += known[nearest].kind == one.kind
    return right / max(1, len(asked))


def main() -> int:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--from", dest="first", type=int, default=0)
    arguments.add_argument("--to", dest="last", type=int, default=1_000_000)
    given = arguments.parse_args()
    pictures = read(given.data)
    asked = [one for one in pictures if given.first <= one.number <= given.last]
    known = [one for one in pictures if one.number < given.first]
    print("\n".join(judged(asked).lines()))
    if known:
        print(f"baseline, nearest by grey levels: kind {baseline(known, asked):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
