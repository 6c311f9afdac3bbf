"""What a person at the box may have done to the agent itself.

Owns the shape, which the control socket and the management share. Must not know either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Tending(Protocol):
    """What looks after the running agent. `who` is told to the audit before anything is done.

    Each raises RequestInvalid for what cannot be meant, and RequestFailed if the audit takes
    nothing.
    """

    async def restart(self, part: str, who: str) -> None:
        """End a part and begin it again: "device press", "uplink cloud", "plugin x" or "agent"."""
        ...

    async def log_level(self, level: str, for_s: float, who: str) -> None:
        """Log from `level` on for `for_s` seconds, 0 for half an hour; then as configured."""
        ...

    def log(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Give the newest `limit` lines of the log behind number `after`, oldest first."""
        ...

    def support(self, who: str, doctor: str = "") -> AsyncGenerator[bytes]:
        """Make a diagnostics bundle and give it piece by piece. RequestFailed if it cannot be.

        What the `doctor` found, as JSON, goes in without its secrets; RequestInvalid if it is none.
        """
        ...
