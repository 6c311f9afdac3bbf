"""The tutorial of the README, followed word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
FILES = ("plugin.toml", "level.py", "test_level.py")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The three files of the tutorial, each the block that follows its name."""
    contents = [blocks("toml")[0], *blocks("python")[:2]]
    for name, content in zip(FILES, contents, strict=True):
        assert f"`{name}`" in README.read_text()
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "FOREBAY"))}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_tests_of_the_tutorial_pass(plugin: Path) -> None:
    ran = run(plugin, "pytest", "-q", "-p", "no:cacheprovider")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_the_plugin_of_the_tutorial_conforms(plugin: Path) -> None:
    command = next(line for line in blocks("console") if "conformance" in line)
    words = command.removeprefix("$ python -m ").split()
    ran = run(plugin, *words, "--patience", "10")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    assert "level 0.1.0: 14 of 14" in ran.stdout


def test_a_process_without_a_host_says_how_it_is_tried(plugin: Path) -> None:
    ran = run(plugin, "level")
    assert ran.returncode == 2
    assert "python -m forebay_plugin.conformance PATH/plugin.toml" in ran.stderr
