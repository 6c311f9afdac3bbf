"""Local users: names, roles, passwords.

Owns their table and the rules of passwords: hashed with argon2id (RFC 9106), 12 characters at
least, none by default. Must not know HTTP. `verify` costs 50 ms of a core on purpose: not for an
event loop.
"""

from __future__ import annotations

import functools
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
LEAST_PASSWORD, MOST_PASSWORD = 12, 256
MOST_USERS = 10_000
COMMAND_LINE = "command line"


class UserRow(NamedTuple):
    """A user as lists show it; times are ns since 1970, 0 for never."""

    name: str
    role: Role
    local: bool
    disabled: bool
    created_ns: int
    signed_in_ns: int


def check_name(name: str) -> None:
    """Raise UsageError for what is no user's name."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no user's name", hint="up to 64 letters, digits, and _ . @ + -"
        )


def check_password(name: str, password: str) -> None:
    """Raise UsageError for a password that is too easy to guess (NIST SP 800-63B, 5.1.1)."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise UsageError(
            f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters",
            hint="four unrelated words make a good one",
        )
    if name.lower() in password.lower() or len(set(password)) < 5:
        raise UsageError("this password is easy to guess", hint="take unrelated words")


def hashed(password: str) -> str:
    """Give a password's hash, salted, with its parameters."""
    import argon2

    return argon2.PasswordHasher().hash(password)


def matches(password: str, kept: str) -> bool:
    """Whether a password is that of a hash."""
    import argon2

    try:
        return argon2.PasswordHasher().verify(kept, password)
    except argon2.exceptions.Argon2Error:
        return False


def add(registry: Registry, who: Principal, name: str, role: Role, password: str, why: str) -> None:
    """Make a local user. UsageError for one that is there, and for a bad name or password."""
    check_name(name)
    check_password(name, password)
    kept = hashed(password)
    with registry.transaction() as db:
        if _found(db, name) is not None:
            raise UsageError(f"{name} is there already", hint="see: forebay-fleet user list")
        _check_room(db)
        now_ns = time.time_ns()
        db.execute(
            "INSERT INTO users (name, role, password, subject, disabled, created_ns, signed_in_ns)"
            " VALUES (?, ?, ?, '', 0, ?, 0)",
            (name, int(role), kept, now_ns),
        )
        trail.note(db, who, "user.add", name, why, {"role": role.word})


def set_password(registry: Registry, who: Principal, name: str, password: str, why: str) -> None:
    """Give a local user another password; all of the user's sessions end."""
    check_password(name, password)
    kept = hashed(password)
    with registry.transaction() as db:
        _local(db, name)
        db.execute("UPDATE users SET password = ? WHERE name = ?", (kept, name))
        db.execute("DELETE FROM sessions WHERE person = ?", (name,))
        trail.note(db, who, "user.password", name, why)


def set_role(registry: Registry, who: Principal, name: str, role: Role, why: str) -> None:
    """Give a user another role; it counts from the next click on."""
    with registry.transaction() as db:
        _local(db, name)
        db.execute("UPDATE users SET role = ? WHERE name = ?", (int(role), name))
        _somebody_left(db)
        trail.note(db, who, "user.role", name, why, {"role": role.word})


def set_disabled(
    registry: Registry, who: Principal, name: str, why: str, *, disabled: bool
) -> None:
    """Shut a user out, at once, or let one in again."""
    with registry.transaction() as db:
        _needed(db, name)
        db.execute("UPDATE users SET disabled = ? WHERE name = ?", (int(disabled), name))
        if disabled:
            db.execute("DELETE FROM sessions WHERE person = ?", (name,))
            _somebody_left(db)
        trail.note(db, who, "user.disable" if disabled else "user.enable", name, why)


def come_by(registry: Registry, subject: str, name: str, role: Role) -> str:
    """Know who came by way of a provider as `subject`: make the user, or give it `role`.

    Gives the user's name here: the one of the first time.

    Raises:
        UsageError: somebody else has this name here.
    """
    name = re.sub(r"[^A-Za-z0-9_.@+-]", "-", name)[:64].lstrip("_.@+-")
    check_name(name)
    with registry.transaction() as db:
        row = db.execute("SELECT name, role FROM users WHERE subject = ?", (subject,)).fetchone()
        if row is None:
            if _found(db, name) is not None:
                raise UsageError(f"{name} is somebody else's name here", hint="ask an admin")
            _check_room(db)
            db.execute(
                "INSERT INTO users"
                " (name, role, password, subject, disabled, created_ns, signed_in_ns)"
                " VALUES (?, ?, NULL, ?, 0, ?, 0)",
                (name, int(role), subject, time.time_ns()),
            )
            row = (name, None)
        if row[1] != int(role):
            db.execute("UPDATE users SET role = ? WHERE name = ?", (int(role), row[0]))
            who = Principal(row[0], role, "oidc")
            trail.note(db, who, "user.role", row[0], "", {"role": role.word})
    return str(row[0])


def listed(registry: Registry) -> list[UserRow]:
    """Give all users by name."""
    rows = registry.rows(
        "SELECT name, role, subject, disabled, created_ns, signed_in_ns FROM users ORDER BY name"
    )
    return [
        UserRow(name, Role(role), not subject, bool(disabled), created_ns, signed_in_ns)
        for name, role, subject, disabled, created_ns, signed_in_ns in rows
    ]


def secret_of(registry: Registry, name: str) -> str:
    """Give the hash of who may sign in with a password; of nobody else's, one that fits nothing."""
    rows = registry.rows(
        "SELECT password FROM users WHERE name = ? AND disabled = 0 AND password IS NOT NULL",
        (name,),
    )
    return str(rows[0][0]) if rows else nobodys()


def there(registry: Registry, name: str) -> bool:
    """Whether there is such a user, disabled or not."""
    return bool(registry.rows("SELECT 1 FROM users WHERE name = ?", (name,)))


@functools.cache
def nobodys() -> str:
    """Give a hash that costs as much to check as any, and fits no password."""
    return hashed(secrets.token_hex(32))


def _found(db: Any, name: str) -> tuple[Any, ...] | None:  # noqa: ANN401 - as in trail
    row: tuple[Any, ...] | None = db.execute(
        "SELECT role, disabled FROM users WHERE name = ?", (name,)
    ).fetchone()
    return row


def _needed(db: Any, name: str) -> None:  # noqa: ANN401 - as in trail
    if _found(db, name) is None:
        raise UsageError(f"no user {name!r}", hint="see: forebay-fleet user list")


def _local(db: Any, name: str) -> None:  # noqa: ANN401 - as in trail
    """Raise UsageError for a user whose password and role are the provider's."""
    _needed(db, name)
    if db.execute("SELECT subject FROM users WHERE name = ?", (name,)).fetchone()[0]:
        raise UsageError(
            f"{name} signs in by OIDC: password and role are the provider's",
            hint="change them there, or disable the user here",
        )


def _somebody_left(db: Any) -> None:  # noqa: ANN401 - as in trail
    """Raise UsageError if a change leaves nobody who may change users."""
    left = db.execute(
        "SELECT 1 FROM users WHERE role = ? AND disabled = 0 LIMIT 1", (int(Role.ADMIN),)
    ).fetchone()
    if left is None:
        raise UsageError("nobody would be admin any more", hint="make another one admin first")


def _check_room(db: Any) -> None:  # noqa: ANN401 - as in trail
    if db.execute("SELECT count(*) FROM users").fetchone()[0] >= MOST_USERS:
        raise UsageError(f"there are {MOST_USERS} users", hint="no more can be made")
