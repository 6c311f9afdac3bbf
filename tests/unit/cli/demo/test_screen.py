"""What the demo shows of the plugin that watches, in a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forebay.cli.demo.screen import Picture, Watch, line, render

LEARNING = Watch("running")
NORMAL = Watch("running", 0.031, windows_per_s=9.8)
FLAGGED = Watch("running", 5.83, alarm=True, windows_per_s=9.8, injected_s=10.0, flagged_s=11.25)


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        (Watch(), "plugin starting"),
        (LEARNING, "plugin learns"),
        (NORMAL, "normal, score 0.03"),
        (FLAGGED, "ANOMALY, score 5.83"),
    ],
)
def test_the_plugins_word_is_on_the_screen_and_in_the_log(watch: Watch, said: str) -> None:
    picture = Picture(phase="OUTAGE: the server was killed", seconds=20.0, watch=watch)
    out = Console(file=io.StringIO(), width=80)
    out.print(render(picture))
    assert isinstance(out.file, io.StringIO)
    shown = out.file.getvalue()
    assert said in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert line(picture).endswith(said)
    assert ("flagged 1.2 s later" in shown) == (watch.flagged_s is not None)


def test_without_a_plugin_nothing_is_said_of_one() -> None:
    out = Console(file=io.StringIO(), width=80)
    out.print(render(Picture()))
    assert isinstance(out.file, io.StringIO)
    assert "plugin" not in out.file.getvalue() + line(Picture())
