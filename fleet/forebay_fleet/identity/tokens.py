"""Join tokens: one box, once, within hours.

Owns their text and their table. A token is a secret of 160 bits and the SHA-256 of the public key
of the authority that signed the server, so that a box checks the server before it says anything.
The server keeps a hash of the secret. Must not know certificates or gRPC.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import zlib
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.errors import UsageError
from forebay_fleet.identity.refused import bad_token
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry

PREFIX = "fbt1_"
SECRET_BYTES = 20
PIN_BYTES = 32
_BYTES = SECRET_BYTES + PIN_BYTES + 4
MAX_CHARACTERS = 128
MOST_S = 86_400.0
"""The longest that a token may be good for."""
MOST_TOKENS = 100_000
"""Tokens that may be there at once, used ones too."""
KEEP_NS = 30 * 86_400 * 10**9
"""How long a token is listed after its end."""


class TokenRow(NamedTuple):
    """A token as lists show it. Times are ns since 1970."""

    id: str
    gateway: str | None
    replaces: int
    created_ns: int
    expires_ns: int
    used_ns: int | None
    used_by: str | None
    revoked_ns: int | None

    def state(self, now_ns: int) -> str:
        """Give `used`, `revoked`, `expired` or `open`."""
        if self.used_ns is not None:
            return "used"
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.expires_ns <= now_ns else "open"


class Redeemed(NamedTuple):
    """A token that is good for this box. `again`: it was used by this box with this very key."""

    replaces: bool
    again: bool


def write(secret: bytes, pin: bytes) -> str:
    """Give a token's text: base64url of secret, pin and a CRC-32 of both against slips."""
    body = secret + pin
    body += zlib.crc32(body).to_bytes(4, "big")
    return PREFIX + base64.urlsafe_b64encode(body).decode().rstrip("=")


def secret_of(text: str) -> bytes | None:
    """Give a token's secret, None for what is no token."""
    if len(text) > MAX_CHARACTERS or not text.startswith(PREFIX):
        return None
    try:
        body = base64.urlsafe_b64decode(text.removeprefix(PREFIX) + "==")
    except ValueError:
        return None
    sound = len(body) == _BYTES and zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "big")
    return body[:SECRET_BYTES] if sound else None


def create(
    registry: Registry,
    pin: bytes,
    valid_s: float,
    now_ns: int,
    *,
    gateway: str | None,
    replace: bool,
    also: Callable[[Database, TokenRow], object] = lambda *_: None,
) -> tuple[str, TokenRow]:
    """Make a token, whose text is nowhere else; do something `also` in the same transaction.

    Raises:
        UsageError: no gateway id, longer than MOST_S, one to replace that nobody named.
    """
    if gateway is not None and not GATEWAY_PATTERN.fullmatch(gateway):
        hint = "A-Z a-z 0-9 _ . -, 64 at most, the first a letter or a digit"
        raise UsageError(f"{gateway!r} cannot be a gateway id", hint=hint)
    if not 0 < valid_s <= MOST_S:
        raise UsageError("a token is good for 24 h at most", hint="use --for 24h")
    if replace and gateway is None:
        raise UsageError("a box that is replaced has an id", hint="name it: --gateway ID")
    secret = secrets.token_bytes(SECRET_BYTES)
    hashed = hashlib.sha256(secret).digest()
    row = TokenRow(
        *(_id(hashed), gateway, int(replace), now_ns, now_ns + round(valid_s * 1e9)),
        *(None, None, None),
    )
    with registry.transaction() as db:
        db.execute("DELETE FROM tokens WHERE expires_ns < ?", (now_ns - KEEP_NS,))
        (count,) = db.execute("SELECT count(*) FROM tokens").fetchone() or (0,)
        if count >= MOST_TOKENS:
            raise UsageError(f"there are {MOST_TOKENS} tokens", hint="let them expire first")
        db.execute(
            "INSERT INTO tokens (id, hash, gateway, replaces, created_ns, expires_ns)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (row.id, hashed, gateway, row.replaces, row.created_ns, row.expires_ns),
        )
        also(db, row)
    return write(secret, pin), row


def rows(registry: Registry) -> list[TokenRow]:
    """Give all tokens, the newest first."""
    sql = (
        "SELECT id, gateway, replaces, created_ns, expires_ns, used_ns, used_by, revoked_ns"
        " FROM tokens ORDER BY created_ns DESC, id"
    )
    return [TokenRow(*row) for row in registry.rows(sql)]


def revoke(
    registry: Registry,
    token_id: str,
    now_ns: int,
    also: Callable[[Database], object] = lambda _: None,
) -> None:
    """End a token that nobody used, and do something `also` in the same transaction.

    Raises:
        UsageError: there is none of this id.
    """
    with registry.transaction() as db:
        sql = "UPDATE tokens SET revoked_ns = ? WHERE id = ? AND used_ns IS NULL RETURNING id"
        if db.execute(sql, (now_ns, token_id)).fetchone() is None:
            raise UsageError(
                f"no token {token_id!r} that is still to be used", hint="forebay-fleet token list"
            )
        also(db)


def redeem(db: Database, text: str, gateway: str, key: bytes, now_ns: int) -> Redeemed:
    """Use a token for `gateway`, whose new key has the SHA-256 `key`. Inside a transaction.

    Raises:
        Refused: it is not good for this gateway, whatever the reason.
    """
    secret = secret_of(text)
    hashed = hashlib.sha256(secret or b"").digest()
    found = db.execute(
        "SELECT hash, gateway, replaces, expires_ns, used_by, used_key, revoked_ns FROM tokens"
        " WHERE id = ?",
        (_id(hashed),),
    ).fetchone()
    if secret is None or found is None or not hmac.compare_digest(hashed, found[0]):
        raise bad_token()
    _, only, replaces, expires_ns, used_by, used_key, revoked_ns = found
    if revoked_ns is not None or expires_ns <= now_ns or only not in (None, gateway):
        raise bad_token()
    if used_by is not None:
        if used_by != gateway or not hmac.compare_digest(used_key, key):
            raise bad_token()
        return Redeemed(bool(replaces), again=True)
    db.execute(
        "UPDATE tokens SET used_ns = ?, used_by = ?, used_key = ? WHERE id = ?",
        (now_ns, gateway, key, _id(hashed)),
    )
    return Redeemed(bool(replaces), again=False)


def _id(hashed: bytes) -> str:
    return hashed[:8].hex()
