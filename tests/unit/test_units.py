"""The units of systemd: sound, as closed as is promised, and the pair for plugins alike."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = {
    "forebay.service": 12,
    "forebay-plugin@.service": 5,
    "forebay-plugin-next@.service": 5,
}
"""Each unit, and the exposure that it may have at most, in tenths."""

pytestmark = pytest.mark.usefixtures("systemd_analyze")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_unit_is_judged() -> None:
    assert {one.name for one in SYSTEMD.glob("*.service")} == UNITS.keys()


@pytest.mark.parametrize(("unit", "most"), UNITS.items())
def test_a_unit_is_as_closed_as_is_promised(unit: str, most: int) -> None:
    found = analyze("security", "--offline=true", f"--threshold={most}", str(SYSTEMD / unit))
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_says_nothing_that_systemd_does_not_know(unit: str, tmp_path: Path) -> None:
    """But for its program, which is not installed where tests run."""
    text = (SYSTEMD / unit).read_text()
    for program in ("/usr/lib/forebay/bin/forebay", "/usr/lib/forebay/bin/python"):
        text = text.replace(program, "/bin/true")
    (tmp_path / unit).write_text(text)
    found = analyze("verify", "--man=no", str(tmp_path / unit))
    assert (found.returncode, found.stderr) == (0, "")


def test_a_word_that_it_does_not_know_is_found(tmp_path: Path) -> None:
    unit = tmp_path / "odd.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")
    assert "ProtectEverything" in analyze("verify", "--man=no", str(unit)).stderr


def test_both_units_of_a_plugin_are_alike() -> None:
    """But for what they are called: they share a user and a state."""
    first, second = (
        [
            line
            for line in (SYSTEMD / unit).read_text().splitlines()
            if line and not line.startswith(("#", "Description="))
        ]
        for unit in ("forebay-plugin@.service", "forebay-plugin-next@.service")
    )
    assert first == second
    assert "User=fbp-%i" in first
