"""How long a person waits for a command to begin: whole processes, from start to end.

`forebay status --help` and `forebay --help`, which loads the modules of all commands, against
Python that does nothing; in turns, so that a slow spell is everybody's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, figure

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 15
PROGRAM = str(Path(sys.executable).with_name("forebay"))


def run() -> list[Figure]:
    """Measure."""
    commands = {
        "nothing": (sys.executable, "-c", "pass"),
        "cli.start_ms": (PROGRAM, "status", "--help"),
        "cli.help_ms": (PROGRAM, "--help"),
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            took[name].append(_took_ms(command))
    bare = took.pop("nothing")
    return [
        figure(name, samples, "ms", against="python -c pass", others=bare)
        for name, samples in took.items()
    ]


def _took_ms(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000
