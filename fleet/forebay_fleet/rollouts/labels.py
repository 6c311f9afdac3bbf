"""Labels of boxes, groups by labels, and the values that templates take from each box.

Owns their tables. A group is a selector with a name: whoever fits it now is in it.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts.plans import known_zone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_fleet.access.roles import Principal
    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
VALUE = re.compile(r"[A-Za-z0-9_.+/-]{1,63}")
VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
MOST_LABELS, MOST_VARIABLES, MOST_TERMS = 64, 1_000, 16
MOST_TEXT = 4_096
GATEWAY = "gateway"
"""The variable that each box has without anybody's doing: its id."""
TIMEZONE = "timezone"
"""The label that says by which clock on the wall a box has its windows."""
Scalar = str | int | float | bool


class Term(NamedTuple):
    """One condition: a label is there, and is (`same`) or is not `value`; None: any value."""

    name: str
    value: str | None
    same: bool


def prepare(registry: Registry) -> None:
    """See that the tables of this package are there. Raises StoreError, StoreFailed."""
    sql = resources.files("forebay_fleet.rollouts").joinpath("tables.sql").read_text("utf-8")
    registry.prepare("rollouts", 1, sql)


def parse(selector: str) -> list[Term]:
    """Read a selector: `line=3,site!=ulm,canary`, all of which must hold; "*" is every box.

    Raises:
        UsageError: it cannot be read.
    """
    if selector.strip() == "*":
        return []
    terms = []
    for part in selector.split(","):
        match = re.fullmatch(r"\s*([^=!\s]+)\s*(?:(!?=)\s*(\S+)\s*)?", part)
        if match is None or not NAME.fullmatch(match[1]) or not VALUE.fullmatch(match[3] or "x"):
            raise UsageError(
                f"{part.strip()!r} is no condition", hint="write line=3, site!=ulm, canary, or *"
            )
        terms.append(Term(match[1], match[3], match[2] != "!="))
    if len(terms) > MOST_TERMS:
        raise UsageError("a selector has 16 conditions at most", hint="give the boxes a label")
    return terms


def fits(terms: list[Term], labels: Mapping[str, str]) -> bool:
    """Whether a box with these labels is selected; one without the label fits `name!=value`."""
    return all(
        (term.name in labels if term.value is None else labels.get(term.name) == term.value)
        is term.same
        for term in terms
    )


def select(registry: Registry, selector: str) -> list[str]:
    """Give the enrolled boxes that a selector, or the group `@NAME`, selects, by name.

    Raises:
        UsageError: it cannot be read, or there is no such group.
    """
    terms = parse(_resolved(registry, selector))
    of = every(registry)
    names = registry.rows(
        "SELECT name FROM gateways WHERE name NOT IN"
        " (SELECT name FROM denied WHERE state = 'revoked') ORDER BY name"
    )
    return [name for (name,) in names if fits(terms, of.get(name, {}))]


def _resolved(registry: Registry, selector: str) -> str:
    if not selector.startswith("@"):
        return selector
    found = registry.rows("SELECT selector FROM groups_of WHERE name = ?", (selector[1:],))
    if not found:
        raise UsageError(f"no group {selector[1:]!r}", hint="list them: forebay-fleet group list")
    return str(found[0][0])


def every(registry: Registry) -> dict[str, dict[str, str]]:
    """Give the labels of each box that has any."""
    found: dict[str, dict[str, str]] = {}
    for gateway, name, value in registry.rows("SELECT gateway, name, value FROM labels"):
        found.setdefault(gateway, {})[name] = value
    return found


def put(
    registry: Registry, who: Principal, gateway: str, changes: Mapping[str, str | None], why: str
) -> None:
    """Give a box labels; None takes one away. UsageError for a bad one, or no such box."""
    put_all(registry, who, {gateway: changes}, why)


def put_all(
    registry: Registry, who: Principal, boxes: Mapping[str, Mapping[str, str | None]], why: str
) -> None:
    """Give many boxes labels: all, or with UsageError none."""
    for gateway, changes in boxes.items():
        for name, value in changes.items():
            if found := _wrong_label(name, value):
                raise UsageError(f"{gateway}: {found[0]}", hint=found[1])
    with registry.transaction() as db:
        for gateway, changes in boxes.items():
            _put(db, "labels", gateway, changes)
            _few(db, "labels", gateway, MOST_LABELS)
            trail.note(db, who, "label", gateway, why, dict(changes))


def _wrong_label(name: str, value: str | None) -> tuple[str, str] | None:
    """Say what is wrong with a label, and the next step."""
    if not NAME.fullmatch(name) or not VALUE.fullmatch("x" if value is None else value):
        return f"{name}={value} is no label", "name: a-z 0-9 _ . -; value: letters too"
    if name == TIMEZONE and value is not None and not known_zone(value):
        return f"no time zone {value!r}", "as in Europe/Berlin, or UTC"
    return None


def _put(db: Database, table: str, gateway: str, changes: Mapping[str, str | None]) -> None:
    """Write changes of a box to `labels` or `variables`."""
    _needed(db, gateway)
    for name, value in changes.items():
        db.execute(f"DELETE FROM {table} WHERE gateway = ? AND name = ?", (gateway, name))  # noqa: S608 - a constant
        if value is not None:
            db.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", (gateway, name, value))  # noqa: S608 - a constant


def put_group(
    registry: Registry, who: Principal, name: str, selector: str | None, why: str
) -> None:
    """Name a selector; None takes the name away. UsageError for a bad name or selector."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a group", hint="a-z 0-9 _ . -")
    if selector is not None:
        parse(selector)
    with registry.transaction() as db:
        db.execute("DELETE FROM groups_of WHERE name = ?", (name,))
        if selector is not None:
            db.execute("INSERT INTO groups_of VALUES (?, ?)", (name, selector))
        trail.note(db, who, "group", name, why, {"selector": selector})


def groups(registry: Registry) -> dict[str, str]:
    """Give the selector of each group."""
    return dict(registry.rows("SELECT name, selector FROM groups_of ORDER BY name"))


def put_variables(
    registry: Registry, who: Principal, gateway: str, changes: Mapping[str, Scalar | None], why: str
) -> None:
    """Set what templates take from a box; None takes one away. UsageError for a bad one.

    They are no secrets: those stand in files on the box, as everywhere in a configuration.
    """
    put_all_variables(registry, who, {gateway: changes}, why)


def put_all_variables(
    registry: Registry, who: Principal, boxes: Mapping[str, Mapping[str, Scalar | None]], why: str
) -> None:
    """Set what templates take from many boxes: all, or with UsageError nothing."""
    for gateway, changes in boxes.items():
        for name, value in changes.items():
            if found := _wrong_variable(name, value):
                raise UsageError(f"{gateway}: {found[0]}", hint=found[1])
    with registry.transaction() as db:
        for gateway, changes in boxes.items():
            texts = {
                name: None if value is None else json.dumps(value)
                for name, value in changes.items()
            }
            _put(db, "variables", gateway, texts)
            _few(db, "variables", gateway, MOST_VARIABLES)
            trail.note(db, who, "variable", gateway, why, dict(changes))


def _wrong_variable(name: str, value: Scalar | None) -> tuple[str, str] | None:
    """Say what is wrong with a variable, and the next step."""
    if not VARIABLE.fullmatch(name):
        return f"{name!r} is no variable", "a-z 0-9 _, a letter first"
    if name == GATEWAY:
        return "`gateway` is the id of the box", "take another name"
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"{name} is longer than {MOST_TEXT:,} characters", "shorten it"
    if isinstance(value, str) and not _is_text(value):
        return f"{name} is no text", "write it in UTF-8"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{name} is no number of 64 bits", 'a text is in quotes: "123"'
    return None


def _is_text(value: str) -> bool:
    """Whether it can be written: a part of a character cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value  # no database keeps one


def variables(registry: Registry) -> dict[str, dict[str, Scalar]]:
    """Give what templates take from each box that has any."""
    found: dict[str, dict[str, Scalar]] = {}
    for gateway, name, value in registry.rows("SELECT gateway, name, value FROM variables"):
        found.setdefault(gateway, {})[name] = json.loads(value)
    return found


def values(registry: Registry, gateway: str) -> dict[str, Scalar]:
    """Give all that a template takes from one box, its id as `gateway` too."""
    sql = "SELECT name, value FROM variables WHERE gateway = ?"
    own = {name: json.loads(value) for name, value in registry.rows(sql, (gateway,))}
    return {**own, GATEWAY: gateway}


def _needed(db: Database, gateway: str) -> None:
    if db.execute("SELECT 1 FROM gateways WHERE name = ?", (gateway,)).fetchone() is None:
        raise UsageError(f"no gateway {gateway!r} is enrolled here", hint="forebay-fleet gateways")


def _few(db: Database, table: str, gateway: str, most: int) -> None:
    sql = f"SELECT count(*) FROM {table} WHERE gateway = ?"  # noqa: S608 - a constant
    ((number,),) = db.execute(sql, (gateway,)).fetchall()
    if number > most:
        raise UsageError(f"{gateway} would have {number:,} {table}", hint=f"at most {most:,}")
