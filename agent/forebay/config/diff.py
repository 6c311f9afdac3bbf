"""What differs between two configurations, part by part.

Owns what is one part, when two are the same, and which can change while the agent runs. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["device", "uplink", "plugin", "writes", "journal", "log", "gateway", "control"]
Action = Literal["add", "remove", "change"]


@dataclass(frozen=True, slots=True)
class Change:
    """One part that differs.

    `name` is empty for parts of which there is one. What is not `live` ends the agent's parts in
    order and begins them again.
    """

    kind: Kind
    name: str
    action: Action
    live: bool = True

    def __str__(self) -> str:
        """Give the part as reports name it: "device press", "journal"."""
        return f"{self.kind} {self.name}".rstrip()
