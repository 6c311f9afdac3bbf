"""What stands in the way of a file is said by the command, with a hint, never by the option."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from forebay.cli.main import COMMANDS, build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--socket", "PATH"),
        ("journal", "ls", "--socket", "PATH"),
        ("journal", "verify", "--directory", "PATH"),
        ("journal", "export", "--directory", "PATH"),
        ("check", "PATH"),
        ("run", "--config", "PATH"),
    ],
    ids=" ".join,
)
def test_no_option_judges_a_path_before_the_command_can(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    asked = [str(there) if word == "PATH" else word for word in words]
    done = CliRunner().invoke(build(COMMANDS), asked)
    assert done.exit_code != 0
    assert "Invalid value" not in done.output
    assert re.search(r"next: \S|\(name a file\)", done.output), done.output
