"""A second witness of each box's journal: how far it said that it was.

A journal that was put back from a copy, or whose disk has lost what it had taken, begins again
where it was before, and cannot know it. What it once said to be durable shows it. Owns its tables.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry

PART, VERSION = "witness", 1
STREAMS = frozenset({"audit", "events", "telemetry", "bulk"})
EPOCH_RANDOM_BITS = 32
"""Of an epoch the upper bits count the runs of the journal, the lower are random."""
HINT = "the box's state was put back from a copy, or its disk has lost what it said to have taken"
_MAX = 1 << 63


class Heads(NamedTuple):
    """What a box said: (epoch, next seq) of each stream. `instance` tells one enrollment's box."""

    gateway: str
    instance: bytes
    heads: Mapping[str, tuple[int, int]]


def prepare(registry: Registry) -> None:
    """See that the tables are there. Raises as `Registry.prepare`."""
    sql = resources.files("forebay_fleet.desired").joinpath("witness.sql").read_text("utf-8")
    registry.prepare(PART, VERSION, sql)


def read(gateway: str, instance: bytes, heads: Iterable[fleet_pb2.JournalHead]) -> Heads:
    """Take what is sound of a report."""
    found = {
        one.stream: (one.epoch, one.next_seq)
        for one in heads
        if one.stream in STREAMS and one.epoch < _MAX and one.next_seq < _MAX
    }
    return Heads(gateway, instance[:16], found)


def setbacks(before: Heads, now: Heads) -> dict[str, str]:
    """Say of each stream that went back how; nothing of a box of another enrollment."""
    if before.instance != now.instance:
        return {}
    found = {}
    for stream, (epoch, next_seq) in now.heads.items():
        was = before.heads.get(stream)
        if was is None or ((epoch, next_seq) >= was and _follows(epoch, was[0])):
            continue
        if epoch == was[0]:
            found[stream] = f"{stream} was at record {was[1]:,} and is at {next_seq:,} again"
        else:
            found[stream] = (
                f"{stream} was in run {was[0] >> EPOCH_RANDOM_BITS} of its journal, and is in "
                f"another journal, or an older copy, of run {epoch >> EPOCH_RANDOM_BITS}"
            )
    return found


def _follows(epoch: int, before: int) -> bool:
    """Whether an epoch is the one before, or of a later run."""
    return epoch == before or epoch >> EPOCH_RANDOM_BITS > before >> EPOCH_RANDOM_BITS


def note(db: Database, now: Heads, at_ns: int) -> list[str]:
    """Keep what a box says now, in the transaction of `db`; say what went back."""
    rows = list(
        db.execute(
            "SELECT stream, instance, epoch, next_seq FROM witness WHERE gateway = ?",
            (now.gateway,),
        )
    )
    same = {row[0]: (row[2], row[3]) for row in rows if row[1] == now.instance}
    found = setbacks(Heads(now.gateway, now.instance, same), now)
    db.executemany(
        "INSERT INTO witness VALUES (?, ?, ?, ?, ?) ON CONFLICT (gateway, stream) DO UPDATE SET"
        " instance = excluded.instance, epoch = excluded.epoch, next_seq = excluded.next_seq",
        [(now.gateway, stream, now.instance, *head) for stream, head in now.heads.items()],
    )
    db.executemany(
        "INSERT INTO setbacks VALUES (?, ?, ?, ?) ON CONFLICT (gateway, stream) DO UPDATE SET"
        " at_ns = excluded.at_ns, said = excluded.said",
        [(now.gateway, stream, at_ns, said) for stream, said in found.items()],
    )
    return list(found.values())


def told(registry: Registry) -> dict[str, list[tuple[int, str]]]:
    """Give for each gateway when a stream of its journal last went back, and how."""
    found: dict[str, list[tuple[int, str]]] = {}
    for gateway, at_ns, said in registry.rows(
        "SELECT gateway, at_ns, said FROM setbacks ORDER BY at_ns"
    ):
        found.setdefault(gateway, []).append((at_ns, said))
    return found
