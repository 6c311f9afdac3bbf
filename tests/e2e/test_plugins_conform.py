"""Every first-party plugin passes the conformance run, as its manifest starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.onnx_models import made

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/plugin.toml"))


def what_it_needs(plugin: Path, folder: Path) -> list[str]:
    """Arguments for a plugin that does nothing without being told what with."""
    if plugin.name != "onnx":
        return []
    made(folder / "model")
    inputs = ["--inputs", "values=line/a,line/b,line/c"]
    return ["--model", str(folder / "model"), "--set", "allow_unsigned = true", *inputs]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_it_conforms(plugin: Path, tmp_path: Path) -> None:
    words = [str(plugin), "--patience", "10", *what_it_needs(plugin, tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "forebay_plugin.conformance", *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_are_some() -> None:
    assert {"features", "rules"} <= {plugin.name for plugin in PLUGINS}
