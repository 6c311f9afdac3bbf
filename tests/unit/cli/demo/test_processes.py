"""The demo's processes live in the demo's world, whatever the user's shell says about theirs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from forebay.cli.demo.processes import Worker

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MOVED = ("FOREBAY_SOCKET", "FOREBAY_STATE", "FOREBAY_CONFIG", "FOREBAY_FLEET_DATA")


def test_what_moves_the_users_agent_does_not_move_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MOVED:
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("OF_THE_USER", "stays")
    worker = Worker(
        "shell", [sys.executable, "-c", "import os; print(*os.environ, sep='\\n')"], tmp_path
    )
    worker.start()
    worker.await_ready(lambda: "OF_THE_USER" in worker.tail(1000))
    worker.stop(lambda: None)
    names = set(worker.tail(1000).splitlines())
    assert "OF_THE_USER" in names
    assert not names & set(MOVED)
