"""The demo's processes: each started as a user would start it, logging to a file, never left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from forebay.errors import ForebayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_S = 30.0
STOP_S = 20.0


class DemoFailed(ForebayError):
    """The demo could not be played to its end."""


class Worker:
    """One process and its log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start it and wait until `ready()`; DemoFailed, with the log's end, if it ends or takes too long."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + START_S
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(
                    f"{self.name} did not start:\n{self.tail()}", hint=f"see {self.log}"
                )
            time.sleep(0.05)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def stop(self, *, wait: Callable[[], object] = lambda: None) -> None:
        """Ask it to end; call `wait` while it does. Killed if it takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                return
            wait()
            time.sleep(0.1)

    def tail(self, lines: int = 12) -> str:
        """Give the last lines of its log."""
        return "\n".join(
            self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        )


class Stage:
    """The directory and the processes of one demo."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()
        self.socket = directory / "control.sock"
        self.plant = self._worker(
            "plant", [sys.executable, "-m", "forebay.testing.plant", "--config-dir", str(directory)]
        )
        self.server: Worker | None = None
        self.agent: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _worker(self, name: str, command: Sequence[str]) -> Worker:
        worker = Worker(name, command, self.directory / f"{name}.log")
        self._stack.callback(worker.kill)
        return worker
