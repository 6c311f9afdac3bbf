"""What is said of a configuration that was offered: how far it is, and what came of it.

Owns these shapes, which the control socket, the fleet's link and the rollout share. Must not know
any of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from forebay.config.bundle import File
    from forebay.errors import Fault

Content = Callable[[bytes], Awaitable[bytes]]
"""Gives the content with a SHA-256. Raises ForebayError where it cannot be had."""


class Phase(StrEnum):
    """How far an attempt is: ConfigPhase of fleet.proto, in its words."""

    RECEIVED = "received"
    VALIDATED = "validated"
    STAGED = "staged"
    APPLYING = "applying"
    PROBATION = "probation"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    SUPERSEDED = "superseded"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self in _ENDED


_ENDED = frozenset({Phase.COMMITTED, Phase.ROLLED_BACK, Phase.FAILED, Phase.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Offer:
    """A configuration that is to run.

    `files` are what it consists of, `content` gives each by its hash. `source` is where it came
    from: `fleet`, `local` or `usb`. A hash that failed is refused until it comes under another
    `offer_id`. It is not begun with after `expires_s` (monotonic), None for any time.
    """

    files: tuple[File, ...]
    content: Content
    offer_id: str
    source: str
    who: str = ""
    reason: str = ""
    expires_s: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One configuration that was offered. Hashes are hex; times are wall clock, ns, 0 for none.

    `id` counts attempts. `generation` is the one that it made, 0 for none or for the file that a
    person wrote; `was` is the one before. `changed` names the parts that were begun, ended or begun
    again. `remarks` tell what a person should know of an attempt that went well.
    """

    id: int
    hash: str
    offer_id: str
    source: str
    who: str
    reason: str
    phase: Phase
    began_ns: int
    was: int = 0
    generation: int = 0
    error: str = ""
    hint: str = ""
    ended_ns: int = 0
    took_s: float = 0.0
    changed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """What was wanted, what runs, and what became of the last attempt: ConfigStatus of fleet.proto.

    Hashes are hex, empty where there is none. `running_source` is `fleet`, `local`, `usb`, or
    `file` for the file that a person wrote. `file_differs` says that this file is not what runs.
    """

    desired: str
    desired_offer: str
    running: str
    running_generation: int
    running_source: str
    last_attempt: Attempt | None
    quarantined: tuple[Fault, ...]
    effective: str
    on_trial: bool
    probation_left_s: float
    file: str
    file_differs: bool


class Rolling(Protocol):
    """What takes configurations, tries them, and keeps them or goes back."""

    async def offer(self, offer: Offer) -> int:
        """Begin with `offer` in place of whatever is being tried; give the id of its attempt.

        Returns once it is RECEIVED. An offer that ended before under the same id and hash is not
        begun again: the id of that attempt. Raises RequestInvalid for what cannot be one,
        RequestFailed if it cannot be noted.
        """
        ...

    async def rollback(self, who: str, reason: str) -> int:
        """Go back to what ran before: a trial ends at once, and else the one before is tried.

        Gives the id of the attempt that is ended, or begun. RequestInvalid if there is none before.
        """
        ...

    async def status(self) -> Status:
        """Give what was wanted, what runs, and what became of the last attempt."""
        ...

    def attempts(self) -> tuple[Attempt, ...]:
        """Give the last attempts, oldest first."""
        ...

    async def contents(self, which: str) -> Mapping[str, bytes]:
        """Give the files of what is `running`, or `desired`. RequestFailed if they are not here."""
        ...

    async def changed(self, seen: int) -> int:
        """Wait until something of `status` changed since `seen` (0: the first look); give a number.

        The number is what to pass the next time.
        """
        ...
