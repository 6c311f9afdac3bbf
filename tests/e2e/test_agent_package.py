"""The package of scripts/agent-package: the same bytes twice, and a whole agent in a slot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forebay.launcher import whole
from forebay.management import filling
from support.shown import note

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/agent-package"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.long
@pytest.mark.follows("docs/reference/agent-package.md")
def test_the_package_is_reproducible_and_runs_by_itself(tmp_path: Path) -> None:
    made = []
    for name in ("one.tar", "two.tar"):
        note(["scripts/agent-package --plain", tmp_path / name])
        subprocess.run([sys.executable, SCRIPT, "--plain", tmp_path / name], check=True)
        made.append(filling.digest(tmp_path / name))
    assert made[0] == made[1]
    config = ROOT / "packaging/examples"
    example = next(iter(sorted(config.rglob("*.toml"))))
    version = filling.fill(tmp_path, "a", tmp_path / "one.tar", None)
    assert whole.check(tmp_path / "a") == version
    python = tmp_path / "a/bin/python"
    where = "import forebay, numpy, asyncua, sys; print(forebay.__file__, numpy.__file__)"
    ran = subprocess.run([python, "-I", "-c", where], check=True, capture_output=True, text=True)
    assert all(one.startswith(str(tmp_path / "a")) for one in ran.stdout.split())
    check = [str(python), "-I", "-m", "forebay.cli", "check", str(example)]
    done = subprocess.run(check, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout[:3]) == (0, "ok:"), done
