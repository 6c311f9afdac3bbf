"""What a device's driver must know of the connections before this one.

Owns nothing but the holding of it: a driver lives as long as its connection, its line outlives
them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.drivers.opcua.eventstold import ToldEvents

if TYPE_CHECKING:
    from forebay.drivers.opcua.history import Heard


@dataclass(slots=True)
class Memory:
    """Of one device, for as long as the agent runs."""

    events: ToldEvents = field(default_factory=ToldEvents)
    heard: dict[int, Heard] = field(default_factory=dict)
    revised: dict[str, str] = field(default_factory=dict)
