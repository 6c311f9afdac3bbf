"""Finished files go by size and by age, but none for an age that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.files import SystemDisk
from forebay.uplinks.file.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
NOW_NS = 1_800_000_000 * S
DAY_S = 86_400


def folder(path: Path, begun_s: list[int]) -> Folder:
    made = Folder(path, "files", ".jsonl", SystemDisk())
    for number, at_s in enumerate(begun_s, start=1):
        (path / made.name(number, at_s * S).text).write_bytes(bytes(100))
    return made


def left(made: Folder) -> list[int]:
    return [name.number for name in made.finished()]


def test_the_oldest_go_until_both_bounds_hold(tmp_path: Path) -> None:
    now_s = NOW_NS // S
    made = folder(tmp_path, [now_s - days * DAY_S for days in (9, 7, 5, 3, 1)])
    assert made.prune(NOW_NS, None, 8 * DAY_S) == 1
    assert made.prune(NOW_NS, 200, 8 * DAY_S) == 2
    assert left(made) == [4, 5]


def test_while_no_age_is_believed_only_size_counts(tmp_path: Path) -> None:
    made = folder(tmp_path, [1_700_000_000 + n for n in range(4)])
    assert made.prune(None, None, DAY_S) == 0
    assert made.prune(None, 300, DAY_S) == 1
    assert left(made) == [2, 3, 4]


def test_what_began_before_the_clock_was_set_is_as_old_as_what_came_next(tmp_path: Path) -> None:
    now_s = NOW_NS // S
    made = folder(tmp_path, [60, 3_600, now_s - DAY_S, 90])
    assert made.prune(NOW_NS, None, 2 * DAY_S) == 0
    assert made.prune(NOW_NS + 2 * DAY_S * S, None, 2 * DAY_S) == 3
    assert left(made) == [4]
