"""A command starts fast since it imports little; milliseconds would depend on the load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "aiomqtt",
    "asyncua",
    "cryptography",
    "google",
    "grpc",
    "grpclib",
    "nicegui",
    "numpy",
    "prometheus_client",
    "pymodbus",
    "structlog",
    "textual",
    "zstandard",
]
"""What costs tens of milliseconds, and is for the daemon, a protocol or a screen."""


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], [*HEAVY, "pydantic"]),
        (["--version"], [*HEAVY, "pydantic"]),
        (["status", "--socket", "/nonexistent/socket"], HEAVY),
        (["trace", "--help"], HEAVY),
    ],
)
def test_a_command_imports_nothing_heavy(words: list[str], heavy: list[str]) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "forebay.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stderr
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in told.splitlines()
        if line.startswith("import time:")
    }

    assert "typer" in imported, told[-400:]
    assert not imported & set(heavy)


def test_the_screen_says_which_libraries_it_lacks() -> None:
    without = (
        "import sys; sys.modules['textual'] = None; sys.argv = ['forebay', 'top']; "
        "from forebay.cli.main import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "pip install 'forebay[top]'" in done.stderr
    assert "Traceback" not in done.stderr
