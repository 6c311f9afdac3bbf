"""What becomes of what boxes were offered: by what they say, and by what they do not say in time.

Owns the states that follow an offer. Must not offer anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access import trail
from forebay_fleet.rollouts.plans import MOST_OPEN_NS, BoxState, Told, judge

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry
    from forebay_fleet.rollouts.book import Rollout


def told(offer_id: str, config: bytes | None) -> Told | None:
    """Give what a box said of an offer; None: not a word."""
    # Ten thousand boxes are looked at each second, and few of them have said anything of it.
    if not config or not offer_id or offer_id.encode() not in config:
        return None
    status = fleet_pb2.ConfigStatus.FromString(config)
    attempt = status.last_attempt
    try:
        phase = fleet_pb2.ConfigPhase.Name(attempt.phase).removeprefix("PHASE_").lower()
    except ValueError:  # of a newer box
        phase = str(attempt.phase)
    return Told(status.desired_offer, status.running, attempt.offer_id, phase, attempt.error)


def hear(registry: Registry, rollout: Rollout, now_ns: int) -> None:
    """Note what became of the offers, late ones too. Raises StoreFailed."""
    rows = registry.rows(
        "SELECT b.gateway, b.state, b.offer_id, b.hash, b.since_ns, d.offer_id, r.online, r.config"
        " FROM rollout_boxes b LEFT JOIN desired d ON d.gateway = b.gateway"
        " LEFT JOIN reports r ON r.gateway = b.gateway"
        " WHERE b.rollout = ? AND b.state IN (?, ?)",
        (rollout.id, BoxState.OFFERED, BoxState.LATE),
    )
    late_ns = now_ns - int(rollout.plan.deadline_s * 1e9)
    changes: list[tuple[str, str, BoxState, str, str]] = []
    for gateway, state, offer_id, hash_, since_ns, newest, online, config in rows:
        said = told(offer_id, config)
        found = None if said is None else judge(offer_id, hash_, said)
        if found is None and newest != offer_id:
            found = BoxState.LEFT, "it was told something else meanwhile"
        if found is None and state == BoxState.OFFERED and since_ns <= late_ns:
            found = BoxState.LATE, _late(said, online=bool(online))
        if found is not None and found[0] != state:
            changes.append((gateway, offer_id, *found, state))
    if not changes:
        return
    with registry.transaction() as db:
        for gateway, offer_id, now, why, before in changes:
            db.execute(
                "UPDATE rollout_boxes SET state = ?, said = ?, since_ns = ?"
                " WHERE rollout = ? AND gateway = ? AND state = ? AND offer_id = ?",
                (now, why[: trail.MOST_WHY], now_ns, rollout.id, gateway, before, offer_id),
            )


def _late(said: Told | None, *, online: bool) -> str:
    if not online:
        return "it is off, or out of reach"
    if said is None or not said.phase:
        return "it is connected, and has not begun"
    return f"it is connected, and says: {said.phase}"


def unheard(registry: Registry, now_ns: int) -> list[str]:
    """Give the rollouts that are over and have boxes that may still come. Raises StoreFailed."""
    rows = registry.rows(
        "SELECT DISTINCT b.rollout FROM rollout_boxes b JOIN rollouts r ON r.id = b.rollout"
        " WHERE b.state IN (?, ?) AND b.since_ns > ? AND r.ended_ns > 0 AND r.ending = ''",
        (BoxState.OFFERED, BoxState.LATE, now_ns - 2 * MOST_OPEN_NS),
    )
    return [id_ for (id_,) in rows]
