"""How often the agent has ended because the disk failed.

Who fails again and again must not start as if nothing had happened. Owns a small file beside the
control socket, where a failing journal cannot keep it from being written. Times are those since
boot, so that a wrong wall clock does not matter. Must not know what failed.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.interfaces import Seams

FAILURES_MOST = 3
WITHIN_S = 600.0
_FILE_BYTES_MAX = 4096


class Failures:
    """The failures of the last ten minutes. All calls block for a moment; none of them raises."""

    def __init__(self, socket: Path, seams: Seams) -> None:
        """Keep them beside the control socket at `socket`."""
        self._path = socket.with_name(socket.name + ".failures")
        self._disk, self._clock = seams.disk, seams.clock

    def note(self) -> None:
        """Count one more."""
        times = [*self._recent(), self._now_s()][-FAILURES_MOST:]
        text = json.dumps({"boot": self._clock.boot_id, "seconds": times})
        with contextlib.suppress(OSError):
            self._disk.makedirs(self._path.parent)
            self._disk.write_atomic(self._path, text.encode())

    def too_many(self) -> bool:
        """Whether there were so many of late that another try would end like them."""
        return len(self._recent()) >= FAILURES_MOST

    def _recent(self) -> list[float]:
        try:
            found = json.loads(self._disk.read_bytes(self._path, _FILE_BYTES_MAX))
            if found["boot"] != self._clock.boot_id:
                return []
            now_s = self._now_s()
            times = [float(second) for second in found["seconds"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []  # missing, damaged, of another boot: as if nothing had failed yet
        return [second for second in times if now_s - WITHIN_S < second <= now_s]

    def _now_s(self) -> float:
        return self._clock.boottime_ns() / 1e9
