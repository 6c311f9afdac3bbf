"""What all sessions of one uplink share.

Owns nothing but the list of parts: the forwarder makes them, and they outlive each session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.forwarding.aside import Aside
    from forebay.forwarding.budget import Budget
    from forebay.forwarding.journal_view import CursorView, JournalView
    from forebay.forwarding.purse import Purse
    from forebay.forwarding.status import Tally
    from forebay.forwarding.suspicion import Suspicion
    from forebay.forwarding.window import Epoch
    from forebay.interfaces import Seams, Uplink
    from forebay.settings import UplinkSettings


@dataclass(frozen=True, slots=True)
class Line:
    """The parts. `forked` are epochs of which the destination has refused a record as forked."""

    name: str
    uplink: Uplink
    settings: UplinkSettings
    journal: JournalView
    cursor: CursorView
    tally: Tally
    budget: Budget
    purse: Purse
    aside: Aside
    suspicion: Suspicion
    seams: Seams
    forked: set[Epoch] = field(default_factory=set)

    def now_s(self) -> float:
        """Give monotonic time."""
        return self.seams.clock.monotonic_s()
