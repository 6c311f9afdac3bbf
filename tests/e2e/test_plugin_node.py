"""A plugin that shares no code with us: JavaScript, against the conformance run and known data."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forebay_plugin.manifest import Manifest, load
from forebay_plugin.testing import Frame, run_process

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "plugins/sdk/examples/node-mean"


@pytest.fixture
def plugin(tmp_path: Path, node_binary: Path, grpc_js_dir: Path) -> Path:
    """The example as a person would install it: its files, `proto`, and the modules of npm."""
    folder = tmp_path / "node-mean"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "proto", folder / "proto")
    (folder / "node_modules").symlink_to(grpc_js_dir)
    manifest = folder / "plugin.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace('"node"', f'"{node_binary}"'))
    assert str(node_binary) in manifest.read_text()
    return folder


def test_it_passes_the_conformance_run(plugin: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "forebay_plugin.conformance", str(plugin), "--patience", "10"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    assert "bool, bytes, float32, float64, int16, int32, int64, int8, string, uint16" in ran.stdout


def test_it_computes_what_is_asked(plugin: Path) -> None:
    held: Manifest = load(plugin)
    numbers = np.arange(16, dtype=np.float64)
    bad = np.where(numbers == 3, 0x8031_0000, 0)
    texts = ["ä" * (row % 5) for row in range(16)]
    frame = Frame.sampled(
        {"plc/Speed": numbers, "plc/Text": texts, "cam/Image": [bytes(row) for row in range(16)]},
        quality={"plc/Speed": bad},
    )
    ran = run_process(held, [frame])
    assert not ran.failures
    assert list(ran["mean"].values) == [25 / 7, 11.5]
    assert list(ran["longest"].values) == ["ääää", "ääää"]
    assert list(ran["bytes"].values) == [28, 92]
    assert list(ran["mean"].times_ns) == [frame.times_ns[7], frame.times_ns[15]]
