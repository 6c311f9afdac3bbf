"""The run's ground rules hold: what is missing is said, and in CI a skip is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.datasets import ABSENT

TESTS = Path(__file__).resolve().parent
SKIPS_ITSELF = 'import pytest\n\n\ndef test_it():\n    pytest.skip("no such thing")\n'
SKIPS_WHOLE = 'import pytest\n\npytest.skip("no such thing", allow_module_level=True)\n'
NEEDS_LIBMODBUS = "def test_it(libmodbus_server_binary):\n    assert libmodbus_server_binary\n"
EXPECTED_TO_FAIL = (
    "import pytest\n\n\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"
)


def run_pytest(folder: Path, module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test module under a copy of this suite's conftest, in a tree of its own."""
    (folder / "tests/testbeds").mkdir(parents=True)
    shutil.copy(TESTS / "conftest.py", folder / "tests")
    shutil.copy(TESTS / "testbeds/needs.tsv", folder / "tests/testbeds")
    (folder / "tests/test_it.py").write_text(module, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "tests"]
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("module", [SKIPS_ITSELF, SKIPS_WHOLE], ids=["test", "module"])
def test_a_skip_passes_at_home_and_fails_in_ci(tmp_path: Path, module: str) -> None:
    at_home = run_pytest(tmp_path / "home", module)
    assert "1 skipped" in at_home.stdout
    in_ci = run_pytest(tmp_path / "ci", module, CI="true")
    assert in_ci.returncode != 0
    assert "no such thing" in in_ci.stdout
    assert "With CI=true nothing may be skipped." in in_ci.stdout


def test_an_absent_data_set_is_a_skip_in_ci_too(tmp_path: Path) -> None:
    module = SKIPS_ITSELF.replace("no such thing", f"{ABSENT}: skab")
    in_ci = run_pytest(tmp_path, module, CI="true")
    assert in_ci.returncode == 0
    assert "1 skipped" in in_ci.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    in_ci = run_pytest(tmp_path, EXPECTED_TO_FAIL, CI="true")
    assert in_ci.returncode == 0
    assert "1 xfailed" in in_ci.stdout


def test_a_missing_server_is_told_with_its_remedy(tmp_path: Path) -> None:
    bare = run_pytest(tmp_path, NEEDS_LIBMODBUS, PATH="")
    assert "1 skipped" in bare.stdout
    assert "apt-get install gcc pkg-config libmodbus-dev" in bare.stdout
