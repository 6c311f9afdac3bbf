"""Commands to boxes: kept until their time is over or their result has come.

Owns its table. Must not know gRPC, nor what a command does at a box.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay_fleet.db.database import Database
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry

PART, VERSION, KIND = "commands", 1, "command"
AT_ONCE = 16
"""Commands that go out with one message."""
MAX_COMMAND_BYTES = 256 << 10
"""What a box takes."""
MAX_OPEN = 100
"""Commands of one gateway that may wait for their results."""


def prepare(registry: Registry) -> None:
    """See that the table is there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("commands.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)


def send(
    registry: Registry,
    signer: Signer,
    command: fleet_pb2.Command,
    now_ns: int,
    also: Callable[[Database], object] = lambda _: None,
) -> None:
    """Sign a command, keep it for its gateway, and do something `also` in the same transaction.

    Raises:
        UsageError: no such gateway is enrolled, too many commands wait for it, or a box could not
            take it.
    """
    payload = command.SerializeToString(deterministic=True)
    if len(payload) > MAX_COMMAND_BYTES:
        raise UsageError("the command is larger than 256 KiB", hint="ask for fewer tags at once")
    signed = signer.sign(KIND, payload)
    with registry.transaction() as db:
        if gateways.get(db, command.gateway) is None:
            text = f"no gateway {command.gateway!r} is enrolled here"
            raise UsageError(text, hint="forebay-fleet gateways")
        sql = "SELECT count(*) FROM commands WHERE gateway = ? AND result IS NULL"
        waiting = db.execute(f"{sql} AND not_after_ns > ?", (command.gateway, now_ns)).fetchone()
        if waiting is not None and waiting[0] >= MAX_OPEN:
            raise UsageError(f"{MAX_OPEN} commands wait for it", hint="wait until some expire")
        db.execute(
            "INSERT INTO commands VALUES (?, ?, ?, ?, ?, NULL)",
            (
                *(command.id, command.gateway, now_ns, command.not_after_ns),
                signed.SerializeToString(),
            ),
        )
        also(db)


def pending(registry: Registry, gateway: str, now_ns: int) -> list[tuple[str, bytes]]:
    """Give id and Signed of the commands whose results have not come, oldest first."""
    return registry.rows(
        "SELECT id, signed FROM commands WHERE gateway = ? AND result IS NULL"
        " AND not_after_ns > ? ORDER BY issued_ns",
        (gateway, now_ns),
    )


def waiting(registry: Registry, now_ns: int) -> dict[str, int]:
    """Give for each gateway when its newest open command was issued."""
    return dict(
        registry.rows(
            "SELECT gateway, max(issued_ns) FROM commands WHERE result IS NULL"
            " AND not_after_ns > ? GROUP BY gateway",
            (now_ns,),
        )
    )


def note(registry: Registry, gateway: str, results: Sequence[fleet_pb2.CommandResult]) -> list[str]:
    """Keep the first result of each command of a gateway; give the ids that the box may forget."""
    with registry.transaction() as db:
        for one in results:
            db.execute(
                "UPDATE commands SET result = ? WHERE id = ? AND gateway = ? AND result IS NULL",
                (one.SerializeToString(), one.id, gateway),
            )
    return [one.id for one in results]


def result(registry: Registry, id_: str) -> fleet_pb2.CommandResult | None:
    """Give the result of a command, None while there is none."""
    found = registry.rows("SELECT result FROM commands WHERE id = ? AND result IS NOT NULL", (id_,))
    return fleet_pb2.CommandResult.FromString(found[0][0]) if found else None


def ends(registry: Registry, id_: str) -> int | None:
    """Give until when a command may begin (wall clock, ns); None: no such was sent."""
    found = registry.rows("SELECT not_after_ns FROM commands WHERE id = ?", (id_,))
    return int(found[0][0]) if found else None
