"""The demo's clock: it stands until all parts are ready, and never goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.cli.demo.story import Demo

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.cli.demo.screen import Picture


def test_the_clock_stands_until_all_parts_are_ready(tmp_path: Path) -> None:
    seen: list[float] = []

    def show(picture: Picture) -> None:
        seen.append(picture.elapsed_s)

    Demo(tmp_path, 1.0, show)._frame()  # noqa: SLF001 - what its start does, without processes
    assert seen == [0.0]
