"""What a box tells its fleet server of itself: what it is, and how its configuration stands.

Owns the form (AgentToServer in fleet.proto). Pure. Must not know when it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import __version__
from forebay._proto import fleet_pb2 as pb

if TYPE_CHECKING:
    from forebay.config.attempts import Attempt, Status
    from forebay.management.offers import StateRefused

MAX_QUARANTINED, MAX_COMPONENTS, MAX_TEXT, MAX_FAULT_TEXT = 1_000, 1_100, 2_000, 500
"""All of it together is far less than the 4 MiB that a server takes."""


def description() -> pb.AgentDescription:
    """Say what this box is."""
    import platform

    return pb.AgentDescription(version=__version__, machine=platform.machine())


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
            pb.ItemFault(
                path=one.path[:MAX_FAULT_TEXT],
                message=one.message[:MAX_FAULT_TEXT],
                hint=one.hint[:MAX_FAULT_TEXT],
            )
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
