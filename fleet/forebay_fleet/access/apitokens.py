"""Tokens of programs: a name, a role, an end.

Owns their text and their table: the server keeps a hash, the text is shown once. Must not know
HTTP.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry

PREFIX = "fba1_"
SECRET_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LONGEST_S = 366 * 86_400.0
MOST_TOKENS = 10_000
USED_EVERY_NS = 3600 * 10**9


class TokenRow(NamedTuple):
    """A token as lists show it; times are ns since 1970, `used_ns` 0 for never."""

    id: str
    name: str
    role: Role
    made_by: str
    created_ns: int
    ends_ns: int
    used_ns: int
    revoked_ns: int | None

    def state(self, now_ns: int) -> str:
        """Give `open`, `expired` or `revoked`."""
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.ends_ns <= now_ns else "open"


def create(
    registry: Registry, who: Principal, name: str, role: Role, for_s: float, now_ns: int, why: str
) -> tuple[str, TokenRow]:
    """Make a token; give its text, which nobody can give again, and its row.

    Raises:
        UsageError: a bad name, too long a life, or more than the maker may do.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name", hint="up to 64 letters, digits, and _ . -")
    if not 0 < for_s <= LONGEST_S:
        raise UsageError("a token is good for a year at most", hint="write 30d or 90d")
    if not who.may(role):
        raise UsageError(
            f"a {who.role.word} cannot make a token of role {role.word}", hint="ask an admin"
        )
    text = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    digest = hashlib.sha256(text.encode()).digest()
    row = TokenRow(
        *(digest[:8].hex(), name, role, who.name),
        *(now_ns, now_ns + int(for_s * 1e9), 0, None),
    )
    with registry.transaction() as db:
        db.execute("DELETE FROM api_tokens WHERE ends_ns < ?", (now_ns - int(30 * 86_400e9),))
        ((number,),) = db.execute("SELECT count(*) FROM api_tokens").fetchall()
        if number >= MOST_TOKENS:
            raise UsageError("too many tokens", hint="revoke some; they go after their end")
        db.execute(
            "INSERT INTO api_tokens"
            " (id, hash, name, role, made_by, created_ns, ends_ns, used_ns, revoked_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL)",
            (row.id, digest, name, int(role), who.name, row.created_ns, row.ends_ns),
        )
        details: dict[str, object] = {"name": name, "role": role.word}
        trail.note(db, who, "api-token.add", row.id, why, details)
    return text, row


def revoke(registry: Registry, who: Principal, id_: str, now_ns: int, why: str) -> None:
    """End a token, at once. UsageError if there is none."""
    with registry.transaction() as db:
        db.execute(
            "UPDATE api_tokens SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL",
            (now_ns, id_),
        )
        if db.execute("SELECT 1 FROM api_tokens WHERE id = ?", (id_,)).fetchone() is None:
            raise UsageError(f"no token {id_!r}", hint="see: forebay-fleet api-token list")
        trail.note(db, who, "api-token.revoke", id_, why)


def listed(registry: Registry) -> list[TokenRow]:
    """Give all tokens, the newest first."""
    rows = registry.rows(
        "SELECT id, name, role, made_by, created_ns, ends_ns, used_ns, revoked_ns FROM api_tokens"
        " ORDER BY created_ns DESC, id"
    )
    return [TokenRow._make((*row[:2], Role(row[2]), *row[3:])) for row in rows]


def find(registry: Registry, text: str, now_ns: int) -> Principal | None:
    """Give whom a token stands for, `token:NAME`; None: it is no token, or not good any more."""
    if not text.startswith(PREFIX) or len(text) > 128:
        return None
    digest = hashlib.sha256(text.encode()).digest()
    rows = registry.rows(
        "SELECT name, role, ends_ns, used_ns FROM api_tokens WHERE hash = ? AND revoked_ns IS NULL",
        (digest,),
    )
    if not rows or rows[0][2] <= now_ns:
        return None
    name, role, _, used_ns = rows[0]
    if now_ns >= used_ns + USED_EVERY_NS:
        with registry.transaction() as db:
            db.execute("UPDATE api_tokens SET used_ns = ? WHERE hash = ?", (now_ns, digest))
    return Principal(f"token:{name}", Role(role), "token")
