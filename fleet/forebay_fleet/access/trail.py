"""The trail: who did what, when, and why. Only ever added to, in the transaction of the change.

Owns its table and the tables of this package. Must not know what the words mean.
"""

from __future__ import annotations

import json
import time
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.access.roles import Role

if TYPE_CHECKING:
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.registry import Registry

MOST_WHY = 500
MOST_ENTRIES = 1000


class Entry(NamedTuple):
    """One thing that was done; `at_ns` since 1970."""

    id: int
    at_ns: int
    who: str
    role: Role
    via: str
    what: str
    subject: str
    why: str
    details: dict[str, Any]


def prepare(registry: Registry) -> None:
    """See that the tables of this package are there. Raises StoreError, StoreFailed."""
    sql = resources.files("forebay_fleet.access").joinpath("tables.sql").read_text("utf-8")
    registry.prepare("access", 1, sql)


def note(
    db: Any,  # noqa: ANN401 - what `Registry.transaction` gives
    who: Principal,
    what: str,
    subject: str,
    why: str,
    details: dict[str, object] | None = None,
) -> None:
    """Write down what `who` does, within the transaction that does it.

    `what` is a word such as "rollout.start", `subject` what it is done to, `details` small.
    """
    text = json.dumps(details or {}, ensure_ascii=False, sort_keys=True)
    db.execute(
        "INSERT INTO trail (at_ns, who, role, via, what, subject, why, details)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(time.time_ns(), who.name, int(who.role), who.via, what),
            *(subject, why[:MOST_WHY], text),
        ),
    )


def entries(
    registry: Registry,
    *,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 200,
) -> list[Entry]:
    """Give what was done, the newest first: to `subject` alone, and before an entry's id."""
    where = ["id < ?"]
    bound: list[Any] = [1 << 62 if before is None else before]
    if subject is not None:
        where.append("subject = ?")
        bound.append(subject)
    sql = (
        "SELECT id, at_ns, who, role, via, what, subject, why, details FROM trail"  # noqa: S608
        f" WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    )
    return [
        Entry._make((*row[:3], Role(row[3]), *row[4:8], json.loads(row[8])))
        for row in registry.rows(sql, (*bound, min(limit, MOST_ENTRIES)))
    ]
