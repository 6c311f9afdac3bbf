"""What the doctor found: one line each, with the next step and where to read on.

Owns their order. Must not know how anything is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

FAULT, WARNING, UNKNOWN, OK = "fault", "warning", "unknown", "ok"
LEVELS = (FAULT, WARNING, UNKNOWN, OK)
"""UNKNOWN: nobody could look, which is not that all is well."""
CHECKS = (
    "configuration",
    "clock",
    "disk",
    "state",
    "journal",
    "identity",
    "device",
    "uplink",
    "plugin",
    "agent",
)
"""Causes before what follows of them: a clock that is wrong makes every certificate wrong."""
PAGE = "docs/guides/doctor.md"


class Finding(NamedTuple):
    """One thing that was looked at. `check` is of CHECKS; `about` names which of them, or is empty.

    `hint` is the next step, empty where nothing is to be done.
    """

    level: str
    check: str
    about: str
    text: str
    hint: str = ""

    @property
    def name(self) -> str:
        """The check, and of what: `device press`."""
        return f"{self.check} {self.about}".strip()

    @property
    def page(self) -> str:
        """Where the documents say more."""
        return f"{PAGE}#{self.check}"


def ordered(found: Iterable[Finding]) -> list[Finding]:
    """Give faults first, then warnings, then what nobody knows.

    Of one level causes come before what follows of them.
    """
    return sorted(
        found, key=lambda one: (LEVELS.index(one.level), CHECKS.index(one.check), one.about)
    )
