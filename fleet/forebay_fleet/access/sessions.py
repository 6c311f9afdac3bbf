"""Sessions of people: a secret in a cookie, the rest here, so that each can be ended at once.

Owns their table. Must not know HTTP.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry

SECRET_BYTES = 32
LONGEST_S = 12 * 3600.0
"""A shift. Then the password is asked for again."""
IDLE_S = 3600.0
"""Nobody has looked for so long: somebody left the page open."""
SEEN_EVERY_NS = 60 * 10**9
"""How exactly the last look is noted: a write a minute, not one a click."""
MOST_A_USER = 20
"""The oldest ends when there is one more."""


class Session(NamedTuple):
    """Whose session it is, and when it ends at the latest, ns since 1970."""

    principal: Principal
    ends_ns: int


class Open(NamedTuple):
    """A session as its owner sees it; times are ns since 1970."""

    via: str
    began_ns: int
    seen_ns: int


def begin(registry: Registry, user: str, via: str, now_ns: int) -> str | None:
    """Begin a session of `user`; give the secret for the cookie. None: the user may not come."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with registry.transaction() as db:
        row = db.execute("SELECT role FROM users WHERE name = ? AND disabled = 0", (user,))
        found = row.fetchone()
        if found is None:
            return None
        db.execute("DELETE FROM sessions WHERE ends_ns <= ?", (now_ns,))
        db.execute(
            "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE person = ?"
            " ORDER BY began_ns DESC LIMIT 1000 OFFSET ?)",
            (user, MOST_A_USER - 1),
        )
        ends_ns = now_ns + int(LONGEST_S * 1e9)
        db.execute(
            "INSERT INTO sessions (hash, person, via, began_ns, seen_ns, ends_ns)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (_hash(secret), user, via, now_ns, now_ns, ends_ns),
        )
        db.execute("UPDATE users SET signed_in_ns = ? WHERE name = ?", (now_ns, user))
        trail.note(db, Principal(user, Role(found[0]), via), "session.begin", user, "")
    return secret


def find(registry: Registry, secret: str, now_ns: int, *, used: bool = True) -> Session | None:
    """Give the session of a cookie, and note if it is `used` by somebody; None: there is none."""
    if len(secret) > 4 * SECRET_BYTES:
        return None
    name = _hash(secret)
    rows = registry.rows(
        "SELECT u.name, u.role, s.via, s.seen_ns, s.ends_ns FROM sessions s"
        " JOIN users u ON u.name = s.person WHERE s.hash = ? AND u.disabled = 0",
        (name,),
    )
    if not rows:
        return None
    user, role, via, seen_ns, ends_ns = rows[0]
    if now_ns >= ends_ns or now_ns >= seen_ns + int(IDLE_S * 1e9):
        return None
    if used and now_ns >= seen_ns + SEEN_EVERY_NS:
        with registry.transaction() as db:
            db.execute("UPDATE sessions SET seen_ns = ? WHERE hash = ?", (now_ns, name))
    return Session(Principal(user, Role(role), via), ends_ns)


def end(registry: Registry, secret: str) -> None:
    """End the session of a cookie."""
    with registry.transaction() as db:
        db.execute("DELETE FROM sessions WHERE hash = ?", (_hash(secret),))


def of(registry: Registry, user: str, now_ns: int) -> list[Open]:
    """Give the sessions of a user that are open, the newest first."""
    rows = registry.rows(
        "SELECT via, began_ns, seen_ns FROM sessions"
        " WHERE person = ? AND ends_ns > ? AND seen_ns > ? ORDER BY began_ns DESC",
        (user, now_ns, now_ns - int(IDLE_S * 1e9)),
    )
    return [Open(*row) for row in rows]


def end_all(registry: Registry, who: Principal) -> None:
    """End all sessions of who asks for it, this one too."""
    with registry.transaction() as db:
        db.execute("DELETE FROM sessions WHERE person = ?", (who.name,))
        trail.note(db, who, "session.end-all", who.name, "")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
