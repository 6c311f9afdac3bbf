"""What a box tells its fleet server of itself: health, and how its configuration stands.

Owns the form (AgentToServer in fleet.proto). Pure. Must not know when it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import __version__
from forebay._proto import fleet_pb2 as pb

if TYPE_CHECKING:
    from forebay.config.attempts import Attempt, Status
    from forebay.management.offers import StateRefused
    from forebay.management.views import Vitals

MAX_QUARANTINED, MAX_COMPONENTS, MAX_TEXT = 1_000, 1_100, 2_000


def description() -> pb.AgentDescription:
    """Say what this box is."""
    import platform

    return pb.AgentDescription(version=__version__, machine=platform.machine())


def health(vitals: Vitals, uptime_s: float) -> pb.Health:
    """Say how this box does; a device is well whose values came since it was begun."""
    components = [
        pb.ComponentHealth(kind="device", name=name, healthy=one.good_samples > 0)
        for name, one in sorted(vitals.devices.items())
    ]
    components += [
        pb.ComponentHealth(kind="uplink", name=name, healthy=one.connected)
        for name, one in sorted(vitals.uplinks.items())
    ]
    bad = [f"{one.kind} {one.name}" for one in components if not one.healthy]
    trouble = vitals.journal.trouble
    status = trouble or (f"not well: {', '.join(bad[:5])}" if bad else "well")
    return pb.Health(
        healthy=not bad and not trouble,
        status=status[:MAX_TEXT],
        last_error=trouble[:MAX_TEXT],
        uptime_s=uptime_s,
        memory_bytes=vitals.memory_bytes,
        components=components[:MAX_COMPONENTS],
    )


def config(status: Status, refused: StateRefused | None) -> pb.ConfigStatus:
    """Say what was wanted, what runs, and what became of the last attempt.

    A state that was refused before it could be offered is the last attempt then: it FAILED.
    """
    made = pb.ConfigStatus(
        desired=bytes.fromhex(status.desired),
        desired_offer=status.desired_offer,
        running=bytes.fromhex(status.running),
        running_generation=status.running_generation,
        running_source=status.running_source,
        quarantined=[
            pb.ItemFault(path=one.path, message=one.message[:MAX_TEXT], hint=one.hint[:MAX_TEXT])
            for one in status.quarantined[:MAX_QUARANTINED]
        ],
        quarantined_count=len(status.quarantined),
        effective_hash=bytes.fromhex(status.effective),
    )
    if refused is not None:
        made.desired, made.desired_offer = refused.hash, refused.offer_id
        made.last_attempt.CopyFrom(
            pb.Attempt(
                hash=refused.hash,
                offer_id=refused.offer_id,
                phase=pb.PHASE_FAILED,
                error=str(refused)[:MAX_TEXT],
                hint=refused.hint[:MAX_TEXT],
            )
        )
    elif status.last_attempt is not None:
        made.last_attempt.CopyFrom(_attempt(status.last_attempt))
    return made


def _attempt(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        hash=bytes.fromhex(attempt.hash),
        offer_id=attempt.offer_id,
        phase=f"PHASE_{attempt.phase.name}",
        error=attempt.error[:MAX_TEXT],
        hint=attempt.hint[:MAX_TEXT],
        began_ns=attempt.began_ns,
        ended_ns=attempt.ended_ns,
        took_s=attempt.took_s,
        changed=attempt.changed[:MAX_COMPONENTS],
    )
