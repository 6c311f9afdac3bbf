"""What boxes are told for a rollout: its configuration; after an abort what they were told before.

Owns the offers. Each step is one transaction, which begins with a look whether the rollout is still
as it was: people stop it beside, and another server may do the same step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.artifacts import choosing
from forebay_fleet.desired import states
from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts.book import Ending
from forebay_fleet.rollouts.hearing import told
from forebay_fleet.rollouts.plans import MOST_OPEN_NS, BoxState
from forebay_fleet.rollouts.templates import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay_fleet.artifacts.repository import Artifact
    from forebay_fleet.db.database import Database
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry
    from forebay_fleet.rollouts.book import Rollout

AT_ONCE = 50
"""Boxes that are told something in one transaction: others wait for the registry meanwhile."""
ENGINE = Principal("rollouts", Role.OPERATOR, "server")
_UNDER_WAY = {"received", "validated", "staged", "applying", "probation"}


@dataclass(slots=True)
class Kit:
    """What offers are made with: the key that signs, what is published, the template read last."""

    signer: Signer
    artifacts: Sequence[Artifact] = ()
    _read: dict[str, Template] = field(default_factory=dict)

    def template(self, registry: Registry, id_: str) -> Template:
        """Give the template of a rollout; the last one is kept. Raises StoreFailed."""
        found = self._read.get(id_)
        if found is None:
            sql = "SELECT path, data FROM rollout_files WHERE rollout = ?"
            found = Template({path: bytes(data) for path, data in registry.rows(sql, (id_,))})
            self._read.clear()
            self._read[id_] = found
        return found


class _Turn(NamedTuple):
    """A box whose turn it is, and until when it may begin."""

    gateway: str
    variables: str
    state: str
    before: bytes
    until_ns: int


def offer(registry: Registry, kit: Kit, rollout: Rollout, now_ns: int) -> bool:
    """Offer it to boxes whose turn and window it is; True: there may be more.

    A box that did not come while its window was open is offered it again when it opens next.
    Raises StoreFailed.
    """
    template = kit.template(registry, rollout.id)
    with registry.transaction() as db:
        if not unchanged(db, rollout):
            return False
        turns = _turns(db, rollout, now_ns)
        for turn in turns:
            contents = template.render(json.loads(turn.variables))
            packages, _ = choosing.chosen(contents, kit.artifacts, rollout.agent)
            wanted = states.Offer(
                *(rollout.who[:64], f"rollout {rollout.id}: {rollout.why}"[:200], now_ns),
                *(turn.until_ns, tuple(packages), rollout.min_agent),
            )
            before = turn.before
            if turn.state == BoxState.WAITING:
                before = _keep_before(db, rollout.id, turn.gateway)
            try:
                pushed = states.put(db, kit.signer, turn.gateway, contents, wanted)
            except UsageError as error:  # revoked meanwhile
                _set(db, rollout.id, turn.gateway, (BoxState.LEFT, str(error)), now_ns)
                continue
            db.execute(
                "UPDATE rollout_boxes SET offer_id = ?, hash = ?, before = ?,"
                " since_ns = CASE state WHEN 'waiting' THEN ? ELSE since_ns END,"
                " state = CASE state WHEN 'waiting' THEN 'offered' ELSE state END"
                " WHERE rollout = ? AND gateway = ?",
                (
                    *(pushed.offer_id, pushed.hash, before, now_ns),
                    *(rollout.id, turn.gateway),
                ),
            )
    return len(turns) == AT_ONCE


def unchanged(db: Database, rollout: Rollout) -> bool:
    """Whether a rollout is as it was read, within a transaction."""
    row = db.execute(
        "SELECT state, wave, ending FROM rollouts WHERE id = ?", (rollout.id,)
    ).fetchone()
    return row == (rollout.state, rollout.wave, rollout.ending)


def _turns(db: Database, rollout: Rollout, now_ns: int) -> list[_Turn]:
    """Give AT_ONCE boxes at most that wait, or whose offer ended before they began."""
    until: dict[str, int] = {}
    for zone in _zones(db, rollout):
        found = rollout.plan.open_until_ns(now_ns, zone)
        if found is not None:
            until[zone] = found
    if not until:
        return []
    rows = _rows(db, rollout, until, ("b.state = 'waiting'", (), AT_ONCE))
    if len(rows) < AT_ONCE and (rollout.plan.window or rollout.began_ns < now_ns - MOST_OPEN_NS):
        ended = (
            "b.state IN ('offered', 'late') AND EXISTS (SELECT 1 FROM desired d WHERE"
            " d.gateway = b.gateway AND d.offer_id = b.offer_id AND d.expires_ns <= ?)"
        )
        again = _rows(db, rollout, until, (ended, (now_ns,), AT_ONCE - len(rows)))
        rows += [row for row in again if not _begun(db, row[0], row[4])]
    return [_Turn._make((*row[:3], bytes(row[3]), until[row[5]])) for row in rows]


def _rows(
    db: Database, rollout: Rollout, zones: Iterable[str], which: tuple[str, tuple[int, ...], int]
) -> list[tuple[Any, ...]]:
    """Give boxes of the waves so far and of these zones; `which`: a condition, its values, most."""
    condition, values, most = which
    zone, join, chosen = "''", "", ""
    bound: list[object] = [rollout.id, rollout.wave, *values]
    if rollout.plan.window:
        zone = "coalesce(l.value, '')"
        join = " LEFT JOIN labels l ON l.gateway = b.gateway AND l.name = 'timezone'"
        chosen = f" AND {zone} IN ({', '.join('?' for _ in zones)})"
        bound += zones
    sql = (
        f"SELECT b.gateway, b.variables, b.state, b.before, b.offer_id, {zone}"  # noqa: S608 - constants
        f" FROM rollout_boxes b{join} WHERE b.rollout = ? AND b.wave <= ? AND {condition}{chosen}"
        " LIMIT ?"
    )
    return db.execute(sql, (*bound, most)).fetchall()


def _zones(db: Database, rollout: Rollout) -> list[str]:
    """Give the time zones of boxes whose turn it may be; "" for those without a label."""
    if not rollout.plan.window:
        return [""]
    rows = db.execute(
        "SELECT DISTINCT coalesce(l.value, '') FROM rollout_boxes b"
        " LEFT JOIN labels l ON l.gateway = b.gateway AND l.name = 'timezone'"
        " WHERE b.rollout = ? AND b.wave <= ? AND b.state IN ('waiting', 'offered', 'late')",
        (rollout.id, rollout.wave),
    ).fetchall()
    return [zone for (zone,) in rows]


def _begun(db: Database, gateway: str, offer_id: str) -> bool:
    """Whether a box is trying what it was offered."""
    row = db.execute("SELECT config FROM reports WHERE gateway = ?", (gateway,)).fetchone()
    return row is not None and _trying(offer_id, row[0])


def _trying(offer_id: str, config: bytes | None) -> bool:
    said = told(offer_id, config)
    return said is not None and said.attempt_offer == offer_id and said.phase in _UNDER_WAY


def _keep_before(db: Database, id_: str, gateway: str) -> bytes:
    """Keep what a box was told last; give that state, empty: nothing."""
    row = db.execute("SELECT signed FROM desired WHERE gateway = ?", (gateway,)).fetchone()
    if row is None:
        return b""
    payload = fleet_pb2.Signed.FromString(bytes(row[0])).payload
    files = fleet_pb2.DesiredState.FromString(payload).files
    for file in files:
        db.execute(
            "INSERT INTO rollout_contents (rollout, sha256, data)"
            " SELECT CAST(? AS TEXT), sha256, data FROM contents WHERE sha256 = ?"
            " ON CONFLICT (rollout, sha256) DO NOTHING",
            (id_, file.sha256),
        )
    return payload if files else b""


class _Told(NamedTuple):
    """A box of a rollout that is to be ended; `newest` is the offer that it was told last."""

    gateway: str
    state: BoxState
    before: bytes
    offer_id: str
    newest: str
    config: bytes | None

    def concerned(self, ending: Ending) -> bool:
        """Whether there is something to be done about it."""
        if (
            self.state is BoxState.FAILED
        ):  # it went back by itself; another box in its place may not
            return self.newest == self.offer_id
        if ending is Ending.BACK:
            return True
        return self.state is not BoxState.COMMITTED and not _trying(self.offer_id, self.config)


def end(registry: Registry, kit: Kit, rollout: Rollout, now_ns: int) -> bool:
    """Tell boxes of an aborted rollout what they were told before; True: there are more.

    Raises StoreFailed.
    """
    with registry.transaction() as db:
        if not unchanged(db, rollout):
            return False
        rows = db.execute(
            "SELECT b.gateway, b.state, b.before, b.offer_id, d.offer_id, r.config"
            " FROM rollout_boxes b LEFT JOIN desired d ON d.gateway = b.gateway"
            " LEFT JOIN reports r ON r.gateway = b.gateway"
            " WHERE b.rollout = ? AND b.offer_id <> ''"
            " AND b.state IN ('offered', 'late', 'failed', 'committed')"
            " ORDER BY b.wave DESC, b.gateway",
            (rollout.id,),
        ).fetchall()
        every = [_Told(row[0], BoxState(row[1]), bytes(row[2]), *row[3:]) for row in rows]
        todo = [one for one in every if one.concerned(rollout.ending)]
        for one in todo[:AT_ONCE]:
            try:
                found = _undo(db, kit, rollout, one, now_ns)
            except UsageError as error:  # revoked meanwhile
                found = BoxState.LEFT, str(error)
            else:
                if one.state is BoxState.FAILED:  # that it failed stays on record
                    continue
            _set(db, rollout.id, one.gateway, found, now_ns)
        if len(todo) > AT_ONCE:
            return True
        db.execute("UPDATE rollouts SET ending = '' WHERE id = ?", (rollout.id,))
        db.execute("DELETE FROM rollout_contents WHERE rollout = ?", (rollout.id,))
        states.forget_unnamed(db)
        trail.note(db, ENGINE, "rollout.ended", rollout.id, "", {"boxes": len(every)})
    return False


def _undo(
    db: Database, kit: Kit, rollout: Rollout, one: _Told, now_ns: int
) -> tuple[BoxState, str]:
    """Tell a box what it was told before; give its state, and why. Raises as `states.put`."""
    if one.newest != one.offer_id:
        return BoxState.LEFT, "it was told something else meanwhile"
    if not one.before and one.state is BoxState.COMMITTED:
        return BoxState.LEFT, "it keeps it: it was told nothing from here before"
    before = fleet_pb2.DesiredState.FromString(one.before)
    contents = dict(_contents(db, rollout.id, before))
    wanted = states.Offer(
        *(ENGINE.name, f"rollout {rollout.id} was aborted", now_ns, now_ns + MOST_OPEN_NS),
        *(tuple(before.packages), before.min_agent),
    )
    states.put(db, kit.signer, one.gateway, contents, wanted)
    return (BoxState.BACK, "") if contents else (BoxState.LEFT, "the rollout was aborted")


def _contents(
    db: Database, id_: str, before: fleet_pb2.DesiredState
) -> Iterable[tuple[str, bytes]]:
    for file in before.files:
        row = db.execute(
            "SELECT data FROM rollout_contents WHERE rollout = ? AND sha256 = ?",
            (id_, file.sha256),
        ).fetchone()
        assert row is not None, "kept with the offer"
        yield file.path, bytes(row[0])


def _set(db: Database, id_: str, gateway: str, found: tuple[BoxState, str], now_ns: int) -> None:
    db.execute(
        "UPDATE rollout_boxes SET state = ?, said = ?, since_ns = ?"
        " WHERE rollout = ? AND gateway = ?",
        (found[0], found[1][: trail.MOST_WHY], now_ns, id_, gateway),
    )
