"""Rollouts as the registry has them: begun, shown, paused, resumed, aborted by people.

Owns their rows, but for what the engine does to them. Each change and who made it are one
transaction.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.desired import folder
from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts import labels, templates
from forebay_fleet.rollouts.plans import BoxState, Plan, State, order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay_fleet.access.roles import Principal
    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry

MOST_BOXES = 100_000
KEPT = 200
"""Rollouts that are over and still shown; older ones go."""


class Ending(StrEnum):
    """What the engine has left to do after an abort.

    WITHDRAW: who has not begun with it is told again what it was told before, or nothing. BACK:
    those who keep it too.
    """

    NOTHING = ""
    WITHDRAW = "withdraw"
    BACK = "back"


class Rollout(NamedTuple):
    """A rollout as lists show it; times are ns since 1970, `ended_ns` 0 while it goes on."""

    id: str
    began_ns: int
    ended_ns: int
    who: str
    why: str
    state: State
    said: str
    selector: str
    plan: Plan
    agent: str
    min_agent: str
    wave: int
    ending: Ending


class Box(NamedTuple):
    """A box in a rollout; `since_ns` of its state."""

    gateway: str
    wave: int
    state: BoxState
    said: str
    offer_id: str
    since_ns: int


class Wanted(NamedTuple):
    """What a person asks for. `canaries` are named boxes that go first, of those selected."""

    selector: str
    contents: Mapping[str, bytes]
    plan: Plan
    canaries: tuple[str, ...] = ()
    agent: str = ""
    min_agent: str = ""


class Start(NamedTuple):
    """A rollout before it is begun: its boxes in the order of their turns, and what is wrong.

    `values` is what the template takes of each box.
    """

    boxes: list[str]
    waves: list[int]
    faults: dict[str, list[templates.Fault]]
    values: dict[str, dict[str, labels.Scalar]]


def prove(registry: Registry, wanted: Wanted) -> Start:
    """Say what a rollout would do, box by box, and change nothing.

    Raises:
        UsageError: nobody is selected, a selector cannot be read, too many boxes, files that are no
            configuration.
    """
    folder.check(wanted.contents)
    selected = labels.select(registry, wanted.selector)
    if not selected:
        raise UsageError(f"{wanted.selector!r} selects no box", hint="forebay-fleet label list")
    if len(selected) > MOST_BOXES:
        raise UsageError(f"more than {MOST_BOXES:,} boxes", hint="roll out to groups")
    if strangers := sorted(set(wanted.canaries) - set(selected)):
        raise UsageError(f"{strangers[0]} is not among the selected", hint="widen the selector")
    boxes = order(selected, wanted.canaries)
    own = labels.variables(registry)
    template = templates.Template(wanted.contents)
    faults, values = {}, {}
    for box in boxes:
        has = {**own.get(box, {}), labels.GATEWAY: box}
        if found := template.faults or template.missing(has):
            faults[box] = found
        values[box] = {name: has[name] for name in sorted(template.names & has.keys())}
    return Start(boxes, wanted.plan.waves(len(boxes)), faults, values)


def start(registry: Registry, who: Principal, wanted: Wanted, why: str) -> str:
    """Begin a rollout; give its id. No box is told anything yet.

    Raises:
        UsageError: as `prove`; a template does not fit a box; a box is in another rollout.
    """
    proof = prove(registry, wanted)
    for box, faults in proof.faults.items():
        one = faults[0]
        more = f" (and {len(proof.faults) - 1} more boxes)" if len(proof.faults) > 1 else ""
        raise UsageError(f"{box}: {one.path}: {one.message}{more}", hint=one.hint)
    id_, now_ns = secrets.token_hex(6), time.time_ns()
    turns = [wave for wave, size in enumerate(proof.waves) for _ in range(size)]
    with registry.transaction() as db:
        _free(db, proof.boxes)
        _tidy(db)
        db.execute(
            "INSERT INTO rollouts (id, began_ns, ended_ns, who, why, state, said, selector, plan,"
            " agent, min_agent, wave, ending) VALUES (?, ?, 0, ?, ?, ?, '', ?, ?, ?, ?, 0, '')",
            (
                *(id_, now_ns, who.name, why[: trail.MOST_WHY], State.RUNNING, wanted.selector),
                *(wanted.plan.dump(), wanted.agent, wanted.min_agent),
            ),
        )
        db.executemany(
            "INSERT INTO rollout_files VALUES (?, ?, ?)",
            ((id_, path, data) for path, data in wanted.contents.items()),
        )
        db.executemany(
            "INSERT INTO rollout_boxes (rollout, gateway, wave, state, said, offer_id, hash,"
            " since_ns, variables, before) VALUES (?, ?, ?, ?, '', '', ?, ?, ?, ?)",
            (
                (id_, box, wave, BoxState.WAITING, b"", now_ns, json.dumps(proof.values[box]), b"")
                for box, wave in zip(proof.boxes, turns, strict=True)
            ),
        )
        details: dict[str, object] = {
            "selector": wanted.selector,
            "boxes": len(proof.boxes),
            "waves": proof.waves,
            "files": {
                path: hashlib.sha256(data).hexdigest() for path, data in wanted.contents.items()
            },
        }
        trail.note(db, who, "rollout.start", id_, why, details)
    return id_


def _free(db: Database, boxes: list[str]) -> None:
    """Raise UsageError for a box that another rollout has and is not over.

    What is left after an abort is done before anything newer is offered.
    """
    busy: dict[str, str] = dict(
        db.execute(
            "SELECT gateway, rollout FROM rollout_boxes b JOIN rollouts r ON r.id = b.rollout"
            " WHERE r.ended_ns = 0"
        ).fetchall()
    )
    for box in boxes:
        if box in busy:
            raise UsageError(
                f"{box} is in rollout {busy[box]}, which is not over",
                hint=f"wait, or: forebay-fleet rollout abort {busy[box]}",
            )


def _tidy(db: Database) -> None:
    """Forget the oldest rollouts that are over."""
    old = db.execute(
        "SELECT id FROM rollouts WHERE ended_ns > 0 AND ending = ''"
        " ORDER BY began_ns DESC LIMIT 1000 OFFSET ?",
        (KEPT,),
    ).fetchall()
    for (id_,) in old:
        for table in ("rollout_files", "rollout_boxes", "rollout_contents"):
            db.execute(f"DELETE FROM {table} WHERE rollout = ?", (id_,))  # noqa: S608 - constants
        db.execute("DELETE FROM rollouts WHERE id = ?", (id_,))


_COLUMNS = (
    "id, began_ns, ended_ns, who, why, state, said, selector, plan, agent, min_agent, wave, ending"
)


def listed(registry: Registry, limit: int = 50) -> list[Rollout]:
    """Give the newest rollouts, the newest first."""
    sql = f"SELECT {_COLUMNS} FROM rollouts ORDER BY began_ns DESC, id LIMIT ?"  # noqa: S608 - constants
    return [_rollout(row) for row in registry.rows(sql, (limit,))]


def find(registry: Registry, id_: str) -> Rollout:
    """Give a rollout. UsageError if there is none."""
    sql = f"SELECT {_COLUMNS} FROM rollouts WHERE id = ?"  # noqa: S608 - constants
    rows = registry.rows(sql, (id_,))
    if not rows:
        raise UsageError(f"no rollout {id_!r}", hint="list them: forebay-fleet rollout list")
    return _rollout(rows[0])


def _rollout(row: tuple[Any, ...]) -> Rollout:
    return Rollout._make(
        (*row[:5], State(row[5]), *row[6:8], Plan.load(row[8]), *row[9:12], Ending(row[12]))
    )


def boxes(registry: Registry, id_: str) -> list[Box]:
    """Give the boxes of a rollout in the order of their turns."""
    rows = registry.rows(
        "SELECT gateway, wave, state, said, offer_id, since_ns FROM rollout_boxes"
        " WHERE rollout = ? ORDER BY wave, gateway",
        (id_,),
    )
    return [Box._make((*row[:2], BoxState(row[2]), *row[3:])) for row in rows]


def counts(registry: Registry, id_: str) -> dict[BoxState, int]:
    """Give how many boxes of a rollout are in which state."""
    rows = registry.rows(
        "SELECT state, count(*) FROM rollout_boxes WHERE rollout = ? GROUP BY state", (id_,)
    )
    return {BoxState(state): number for state, number in rows}


def pause(registry: Registry, who: Principal, id_: str, why: str) -> None:
    """Offer it to no more boxes until it is resumed; who has it goes on."""
    _change(registry, who, id_, why, ("pause", State.PAUSED, {State.RUNNING}))


def resume(registry: Registry, who: Principal, id_: str, why: str) -> None:
    """Go on. What failed until now is borne: it does not count against the plan any more."""
    with registry.transaction() as db:
        _moved(db, who, id_, why, ("resume", State.RUNNING, {State.PAUSED, State.STOPPED}))
        # Of a new wave's budget: what a person has seen and bears.
        ((bad,),) = db.execute(
            "SELECT count(*) FROM rollout_boxes WHERE rollout = ? AND state IN (?, ?)",
            (id_, BoxState.FAILED, BoxState.LATE),
        ).fetchall()
        ((text,),) = db.execute("SELECT plan FROM rollouts WHERE id = ?", (id_,)).fetchall()
        plan = json.loads(text)
        plan["failures"] = max(plan["failures"], bad)
        db.execute("UPDATE rollouts SET plan = ? WHERE id = ?", (json.dumps(plan), id_))


def abort(registry: Registry, who: Principal, id_: str, why: str, *, put_back: bool) -> None:
    """End it: nobody begins with it any more.

    With `put_back` the boxes that have it are told again what they were told before, and that may
    be done when all have it, too.
    """
    going = {State.RUNNING, State.PAUSED, State.STOPPED}
    step = ("abort", State.ABORTED, going | {State.DONE} if put_back else going)
    with registry.transaction() as db:
        _moved(db, who, id_, why, step)
        now_ns = time.time_ns()
        db.execute(
            "UPDATE rollout_boxes SET state = ?, said = 'the rollout was aborted', since_ns = ?"
            " WHERE rollout = ? AND state = ?",
            (BoxState.LEFT, now_ns, id_, BoxState.WAITING),
        )
        ending = Ending.BACK if put_back else Ending.WITHDRAW
        db.execute("UPDATE rollouts SET ending = ? WHERE id = ?", (ending, id_))


def _change(
    registry: Registry,
    who: Principal,
    id_: str,
    why: str,
    step: tuple[str, State, set[State]],
) -> None:
    with registry.transaction() as db:
        _moved(db, who, id_, why, step)


def _moved(
    db: Database, who: Principal, id_: str, why: str, step: tuple[str, State, set[State]]
) -> None:
    """Put a rollout into another state, or raise UsageError."""
    word, state, allowed = step
    row = db.execute("SELECT state FROM rollouts WHERE id = ?", (id_,)).fetchone()
    if row is None:
        raise UsageError(f"no rollout {id_!r}", hint="list them: forebay-fleet rollout list")
    if State(row[0]) not in allowed:
        raise UsageError(f"rollout {id_} is {row[0]}", hint="see: forebay-fleet rollout show")
    move(db, id_, state, why)
    trail.note(db, who, f"rollout.{word}", id_, why)


def move(db: Database, id_: str, state: State, said: str) -> None:
    """Put a rollout into a state, and say why."""
    ended_ns = time.time_ns() if state.over else 0
    db.execute(
        "UPDATE rollouts SET state = ?, said = ?, ended_ns = ? WHERE id = ?",
        (state, said[: trail.MOST_WHY], ended_ns, id_),
    )
