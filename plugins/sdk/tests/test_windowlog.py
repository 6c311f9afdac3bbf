"""What was known before windows: over restarts, torn writes and time that goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_plugin import windowlog
from forebay_plugin.windowlog import WindowLog

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    log = WindowLog(tmp_path)
    known, history = log.load()
    assert (known, len(history)) == ("", 0)
    log.append([(0, 1, "nothing"), (1, 2, "one")], "two", now=True)
    log.append([(2, 3, "two")], "three", now=False)
    known, history = WindowLog(tmp_path).load()
    assert known == "three"
    assert [history.before(end - 1, end) for end in (1, 2, 3)] == ["nothing", "one", "two"]
    assert history.before(0, 2) is None


@pytest.mark.parametrize("left", [1, 5, 11, 12, 20])
def test_a_torn_chunk_costs_itself_and_the_next_is_whole(tmp_path: Path, left: int) -> None:
    log = WindowLog(tmp_path)
    log.append([(0, 1, "nothing")], "one", now=True)
    path = tmp_path / "known"
    size = path.stat().st_size
    log.append([(1, 2, "one")], "two", now=True)
    path.write_bytes(path.read_bytes()[: size + left])
    known, history = WindowLog(tmp_path).load()
    assert (known, len(history)) == ("one", 1)
    WindowLog(tmp_path).append([(1, 2, "one")], "again", now=True)
    assert WindowLog(tmp_path).load()[0] == "again"


def test_a_replay_keeps_nothing() -> None:
    log = WindowLog(None)
    log.append([(0, 1, "x")], "y", now=True)
    assert log.load()[0] == ""


def test_windows_that_came_again_stand_once(tmp_path: Path) -> None:
    log = WindowLog(tmp_path)
    log.append([(n, n + 1, str(n)) for n in range(5)], "5", now=True)
    log.append([(3, 4, "3"), (4, 5, "other")], "5", now=True)
    _, history = log.load()
    assert len(history) == 5
    assert history.before(4, 5) == "other"


def test_the_history_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    history = windowlog.History()
    for end in range(windowlog.WINDOWS + 10):
        history.add((end - 1, end, "x"))
    assert len(history) == windowlog.WINDOWS
    assert history.before(8, 9) is None
    assert history.before(9, 10) == "x"
    monkeypatch.setattr(windowlog, "HISTORY_BYTES", 100)
    history.add((0, 5000, "y" * 60))
    history.add((0, 5001, "z" * 60))
    assert len(history) == 1
    history.add((0, 4000, "back"))
    assert (history.before(0, 5001), history.before(0, 4000)) == (None, "back")
