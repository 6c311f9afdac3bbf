"""The demo's processes: started as a user would start them, logging to files, never left behind.

Owns starting, killing and stopping. Must not know what the processes do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from forebay.errors import ForebayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

START_S = 60.0
STOP_S = 30.0
POLL_S = 0.05


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment without what moves the user's own agent and server: `FOREBAY_*`."""
    return {name: value for name, value in environ.items() if not name.startswith("FOREBAY_")}


class DemoFailed(ForebayError):
    """The demo could not be played to its end."""


class Worker:
    """One process and its log file. Starting again after `kill` or `stop` is allowed."""

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        self.name, self.log = name, directory / f"{name}.log"
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean(os.environ),
            )

    def await_ready(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()`; DemoFailed, with the log's end, if it ends or takes too long."""
        deadline = time.monotonic() + START_S
        while not ready():
            if not self.running or time.monotonic() > deadline:
                raise DemoFailed(
                    f"{self.name} did not start:\n{self.tail()}", hint="see the log above"
                )
            time.sleep(POLL_S)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def stop(self, meanwhile: Callable[[], object]) -> None:
        """Ask it to end and call `meanwhile` until it has. Killed if it takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
            meanwhile()
            time.sleep(POLL_S)

    def tail(self, lines: int = 12) -> str:
        """Give the last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])
