"""The way in: the seams to the world, who takes over a batch, what may change it on its way.

Owns those contracts. Must not know devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from forebay.files import SystemFolders

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from forebay.clock import Clock
    from forebay.events import Events
    from forebay.files import Disk, Folders
    from forebay.model import Batch, Gap
    from forebay.net import Network
    from forebay.settings import StageSettings


@dataclass(frozen=True, slots=True)
class Seams:
    """All that ties the program to the world; a test puts its own in place.

    `events` is where what happens is told; `folders` are directories in which others write.
    """

    clock: Clock
    disk: Disk
    network: Network
    rng: random.Random
    events: Events
    folders: Folders = field(default_factory=SystemFolders)


class Intake(Protocol):
    """Whatever takes responsibility for a batch.

    Sessions, stages and plugins hand over here and nowhere else.
    """

    async def accept(self, batch: Batch) -> None:
        """Take responsibility for `batch`.

        Called by a session once per poll or per notification, never twice with the same batch. It
        goes into `batch.stream`, and passes stages and shadow if that is telemetry.
        Returns only when this part answers for it: it will be journaled, or a Gap will account for
        it. May wait a bounded moment for room; never raises for a full journal. The caller may
        forget the batch, and may acknowledge it to a device, only after the return.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Take over `batch` and return when it is durable.

        For what must not happen before it is on record. No stage sees it. Raises JournalFull if
        there is no room now, taking nothing; JournalFailed if the disk fails.
        """
        ...

    def account(self, gap: Gap) -> None:
        """Take over a gap for what `gap.source` was never asked for.

        It comes behind the batches accepted from that source before. Never waits.
        """
        ...


class Stage(Protocol):
    """Batch in, batch out; in-process, pure and fast."""

    def apply(self, batch: Batch) -> Batch | None:
        """Give what goes on, or None for nothing.

        Called for every batch of one device, in order; must not wait or raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class StageSpec:
    """The face of a stage, found by its entry point in `forebay.stages`.

    `build` is called once per device.
    """

    kind: str
    settings: type[StageSettings]
    build: Callable[[Any], Stage]
