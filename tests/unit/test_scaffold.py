"""`scripts/scaffold plugin NAME` makes a plugin that passes its tests and the tree's checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tidy import check_length, check_python, check_text

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAME = "oil-mist-of-the-second-gear-box2"
"""As long as a name may be: lines must be short enough for it too."""


def run(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "FOREBAY"))}
    return subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    made = run(sys.executable, "scripts/scaffold", "plugin", NAME, "--root", root)
    assert made.returncode == 0, made.stderr
    return root / "plugins" / NAME


def test_its_tests_pass(plugin: Path) -> None:
    ran = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", plugin)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


def test_it_conforms(plugin: Path) -> None:
    kit = (sys.executable, "-m", "forebay_plugin.conformance", plugin, "--patience", "10")
    ran = run(*kit)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout


def test_it_keeps_the_rules_of_the_tree(plugin: Path) -> None:
    """Lint and types as `scripts/check` runs them, and the rules of test_tidy."""
    (plugin.parents[1] / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for words in (("check",), ("format", "--check")):
        ran = run(BIN / "ruff", *words, "--no-cache", plugin)
        assert ran.returncode == 0, ran.stdout
    typed = (BIN / "mypy", "--scripts-are-modules", plugin / "src", plugin / "tests")
    paths = f"{plugin / 'src'}:{ROOT / 'plugins/sdk/src'}"
    ran = run(*typed, f"--cache-dir={plugin.parents[1] / 'mypy'}", MYPYPATH=paths)
    assert ran.returncode == 0, ran.stdout
    for path in plugin.rglob("*.*"):
        if path.parent.name == "__pycache__":
            continue
        text, name = path.read_text(), f"plugins/{path.relative_to(plugin.parent)}"
        findings = [*check_text(name, text), *check_length(name, text)]
        if path.suffix == ".py":
            findings += check_python(name, text, product=True)
        assert not findings, "\n".join(map(str, findings))


def test_a_folder_that_is_there_is_left_alone(plugin: Path) -> None:
    before = (plugin / "plugin.toml").read_bytes()
    again = run(sys.executable, "scripts/scaffold", "plugin", NAME, "--root", plugin.parents[1])
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (plugin / "plugin.toml").read_bytes() == before


@pytest.mark.parametrize("name", ["Oil", "9lives", "a" * 33, "a/b", "../x", ""])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    ran = run(sys.executable, "scripts/scaffold", "plugin", name, "--root", tmp_path)
    assert ran.returncode == 1
    assert "a letter first" in ran.stderr
    assert not list(tmp_path.iterdir())
