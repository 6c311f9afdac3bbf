"""A plugin that tries what it must not be able to do, and gives what came of it as facts.

With a file `eat` beside it, it takes memory without end.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from forebay_plugin import Plugin, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_plugin import Setup, Window

STATE = Path("/var/lib/forebay")
HERE = Path(__file__).parent


def tried(what: Callable[[], object]) -> str:
    """Give `done`, or the name of the error that the kernel gave."""
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"


def connect() -> None:
    with socket.socket() as line:
        line.connect(("127.0.0.1", int((HERE / "port").read_text())))


class Prober(Plugin):
    """Its facts are its answers."""

    def setup(self, setup: Setup) -> dict[str, str]:
        state = Path(setup.state_directory)
        kept = state / "kept"
        before = kept.read_text() if kept.exists() else ""
        kept.write_text(f"{before}x")
        kept.chmod(0o600)
        return {
            "user": str(os.getuid()),
            "starts": str(len(before) + 1),
            "network": tried(connect),
            "config": tried(Path("/etc/forebay/forebay.toml").read_text),
            "journal": tried(lambda: list((STATE / "journal").iterdir())),
            "control": tried(self._control),
            "write": tried(lambda: Path("/var/lib/mark").write_text("x")),
            "code": tried(lambda: (HERE / "mark").write_text("x")),
            "agent": tried(lambda: os.kill(int((HERE / "agent").read_text()), 0)),
            "namespace": tried(self._unshare),
        }

    def _control(self) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect("/run/forebay/control.sock")

    def _unshare(self) -> None:
        import ctypes

        if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
            raise OSError(ctypes.get_errno(), "unshare")

    def process(self, window: Window) -> dict[str, float]:
        hoard = []
        while (HERE / "eat").exists():
            hoard.append(bytearray(os.urandom(1 << 20)))
        return {"last": float(window.matrix("numbers")[-1, 0])}


serve(Prober)
