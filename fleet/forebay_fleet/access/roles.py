"""Roles, and who acts.

Pure. Must not know how anybody proved who they are.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from forebay_fleet.errors import UsageError


class Role(IntEnum):
    """What somebody may do; each may do all that a lower one may.

    VIEWER looks at everything but secrets. OPERATOR changes what boxes run: configurations,
    rollouts, commands. ADMIN changes who may come: people, tokens, gateways.
    """

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The name as everybody writes it."""
        return self.name.lower()

    @classmethod
    def parse(cls, word: str) -> Role:
        """Read a role's name. UsageError for any other word."""
        try:
            return cls[word.upper()]
        except KeyError:
            hint = "roles: " + ", ".join(role.word for role in cls)
            raise UsageError(f"no role {word!r}", hint=hint) from None


class Principal(NamedTuple):
    """Who acts. `via`: password, oidc, token, or "command line"."""

    name: str
    role: Role
    via: str

    def may(self, role: Role) -> bool:
        """Whether this one may do what needs `role`."""
        return self.role >= role
