"""What pages and routes of the HTTP port stand on.

Must not know any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay_fleet.access.signing_in import SigningIn
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.desired.hub import Hub
    from forebay_fleet.registry import RegistryThread
    from forebay_fleet.session import Desk
    from forebay_fleet.values.offer import Offer
    from forebay_fleet.values.reading import Readers


@dataclass(frozen=True, slots=True)
class Context:
    """Of one server. `hub` and `published` are None where no box can enroll."""

    data: Path
    registry: RegistryThread
    offer: Offer
    desk: Desk
    signing_in: SigningIn
    now_ns: Callable[[], int]
    hub: Hub | None = None
    published: Published | None = None

    @property
    def readers(self) -> Readers:
        """The threads that read the store."""
        return self.offer.readers
