"""Pieces in, verdicts out: whole pictures once each, odd ones told, boxes where defects are."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forebay_plugin.testing import Frame, run
from forebay_vision import boxes, texture
from forebay_vision.benchmarks import Figures, Picture, read
from forebay_vision.files import Piece, Shelf, Unusable
from forebay_vision.pictures import grey, opened
from forebay_vision.plugin import Vision
from support.datasets import data_set

PLUGIN = Path(__file__).resolve().parents[1]
START_NS = 1_790_000_000_000_000_000


def pieces(name: str, content: bytes, size: int = 4096) -> list[Piece]:
    sha256 = hashlib.sha256(content).hexdigest()
    known = hashlib.sha256((name + sha256).encode()).hexdigest()[:32]
    return [
        Piece(name, known, sha256, at, len(content), content[at : at + size])
        for at in range(0, max(1, len(content)), size)
    ]


def frame(rows: list[Piece]) -> Frame:
    columns: dict[str, Any] = {
        f"camera/{name}": [getattr(row, name) for row in rows] for name in Piece._fields
    }
    for name in ("camera/offset", "camera/total"):
        columns[name] = np.array(columns[name], np.uint64)
    return Frame(START_NS + np.arange(len(rows), dtype=np.int64) * 10**9, columns)


def drawn(seed: int, side: int = 200) -> bytes:
    """Give a JPEG of noise with a dark streak."""
    rng = np.random.default_rng(seed)
    image = rng.normal(140, 12, (side, side))
    image[side // 4 : side * 3 // 4, side // 2 : side // 2 + 12] -= 70
    out = io.BytesIO()
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def test_a_shelf_gives_each_file_once_whatever_comes_twice(tmp_path: Path) -> None:
    content = os.urandom(20_000)
    parts = pieces("a", content)
    shelf = Shelf(tmp_path, 1 << 20)
    assert [shelf.put(one) for one in (parts[2], parts[0], parts[0], parts[1])] == [None] * 4
    again = Shelf(tmp_path, 1 << 20)  # a restart
    assert again.put(parts[3]) is None
    assert again.put(parts[4]) == content
    assert again.put(parts[4]) is None
    assert not list((tmp_path / "pieces").iterdir())


def test_a_shelf_refuses_what_is_damaged_or_too_large(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 10_000)
    (part,) = pieces("a", b"content")
    with pytest.raises(Unusable, match="damaged"):
        shelf.put(part._replace(data=b"CONTENT"))
    with pytest.raises(Unusable, match="max_bytes"):
        shelf.put(part._replace(total=10_001))
    with pytest.raises(Unusable, match="none"):
        shelf.put(part._replace(id="../../etc", total=9_000))
    for number in range(40):
        shelf.put(pieces(f"f{number}", os.urandom(8000))[0])
    assert len(list((tmp_path / "pieces").iterdir())) <= 16


def test_a_picture_is_judged_and_an_odd_file_costs_only_itself() -> None:
    ran = run(
        Vision,
        PLUGIN / "plugin.toml",
        [
            frame(
                pieces("odd.jpg", b"no picture")
                + pieces("one.jpg", drawn(1))
                + pieces("wide.png", drawn(2, 320))
            )
        ],
        settings={"least": 0.0},
    )
    assert [number for number, _ in ran.failures] == [1]
    assert "no picture" in ran.failures[0][1]
    assert not ran.refused
    assert len(ran["verdict"].values) == len(ran["finding"].values) == 2
    assert set(ran["verdict"].values) <= set(ran.facts["kinds"].split(", "))
    small = Image.open(io.BytesIO(ran["thumbnail"].values[0]))
    assert max(small.size) <= 256
    for text, count in zip(ran["boxes"].values, ran["defects"].values, strict=True):
        assert len(json.loads(text)) == count


def test_what_is_less_sure_is_unsure() -> None:
    ran = run(
        Vision,
        PLUGIN / "plugin.toml",
        [frame(pieces("one.jpg", drawn(1)))],
        settings={"least": 1.1, "thumbnail": 0},
    )
    assert list(ran["verdict"].values) == ["unsure"]
    assert not len(ran["finding"].values)
    assert not len(ran["thumbnail"].values)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16", "CMYK"])
def test_pictures_of_every_kind_become_grey(mode: str) -> None:
    levels = np.tile(np.arange(300, dtype=np.uint16) % 256, (100, 1))
    image = Image.fromarray(levels) if mode == "I;16" else Image.fromarray(
        levels.astype(np.uint8)
    ).convert(mode)  # fmt: skip
    out = io.BytesIO()
    image.save(out, "TIFF" if mode in ("I;16", "CMYK") else "PNG")
    found = grey(opened(out.getvalue(), 10**6))
    assert found.shape == (texture.SIDE, texture.SIDE)
    with pytest.raises(Unusable, match="too large"):
        opened(out.getvalue(), 10_000)


def test_light_and_contrast_change_no_feature_by_much() -> None:
    image = np.asarray(Image.open(io.BytesIO(drawn(3))).convert("L"))
    darker = (image * 0.6 + 10).astype(np.uint8)
    one, other = (texture.of_cells(texture.normal(each)) for each in (image, darker))
    assert np.abs(one - other).mean() < 0.1 * np.abs(one).mean()


def test_what_touches_is_one_component() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[1, 1] = mask[2, 0:3] = mask[6, 6] = mask[7, 7] = mask[5, 2] = True
    labels = boxes.components(mask)
    assert len(set(labels[mask].tolist())) == 3
    assert (labels[~mask] == -1).all()


def test_a_map_without_anything_proposes_nothing() -> None:
    found = boxes.propose(np.zeros((40, 40), np.float32), 0, 6)
    assert found.boxes.shape == (0, boxes.EDGES)
    assert not boxes.best(found.boxes, np.zeros(0, np.float32), 0.1)
    one = np.zeros((40, 40), np.float32)
    one[10:20, 10:20] = 0.9
    assert boxes.propose(one, 0, 6).features.shape[1] == boxes.FEATURES + 6


def test_of_boxes_that_overlap_the_surest_stays() -> None:
    some = np.array(
        [[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [22, 22, 25, 25]], np.float32
    )
    assert boxes.best(some, np.array([0.5, 0.9, 0.8, 0.7], np.float32), 0.4) == [1, 2]


def test_figures_count_as_they_say() -> None:
    known = np.array([[0, 0, 100, 100], [150, 150, 160, 160]], np.float32)
    given = np.array([[0, 0, 100, 90], [5, 5, 95, 95], [152, 152, 158, 158]], np.float32)
    figures = Figures()
    figures.add(Picture(Path("x"), "a", 1, known), "a", given, (200, 200))
    assert figures.accuracy == figures.recall("large") == 1.0
    assert figures.recall("small") == 0.0
    assert figures.hit["small"] == 1
    assert figures.precision == pytest.approx(1 / 3)


def test_it_sees_what_it_never_saw() -> None:
    """Every fourth of the pictures that trained nothing, through the real process."""
    sys.path.insert(0, str(PLUGIN))
    try:
        judged = importlib.import_module("evaluate").judged
    finally:
        sys.path.remove(str(PLUGIN))
    found = [one for one in read(data_set("neu-det")) if one.number > 140 and one.number % 4 == 0]
    figures = judged(found)
    assert figures.pictures == len(found)
    assert figures.accuracy >= 0.95, figures.lines()
