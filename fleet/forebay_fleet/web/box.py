"""All that the page shows of one box, read at once.

Must not know how it is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2, uplink_pb2
from forebay_fleet.desired import reports, witness
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.watermark import watermarks

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry
    from forebay_fleet.store.aside import AsideRow
    from forebay_fleet.store.reader import ForkRow, StoreReader


MOST_ASIDE = 20
"""Records kept aside that are shown, the newest."""
SUMS = ("records", "samples", "gapped", "refused", "bytes")


class Facts(NamedTuple):
    """What the registry says of a box; hashes are hex, "" for none, times ns since 1970."""

    health: fleet_pb2.Health
    config: fleet_pb2.ConfigStatus
    pushed: str
    expires_ns: int
    shut_out: str
    setbacks: tuple[tuple[int, str], ...]


class Stream(NamedTuple):
    """The account of one stream over all its epochs; see `store.reader.LineRow`."""

    stream: str
    mark: str
    records: int
    samples: int
    gapped: int
    refused: int
    open: int
    bytes: int


class Stored(NamedTuple):
    """What the store says of a box."""

    streams: tuple[Stream, ...]
    forks: tuple[ForkRow, ...]
    twins: int
    aside: tuple[AsideRow, ...] = ()


def facts(registry: Registry, name: str) -> Facts:
    """Read what is known of a box. StoreFailed."""
    said = registry.rows("SELECT * FROM reports WHERE gateway = ?", (name,))
    report = reports.Report(*said[0]) if said else reports.Report(name, 0, 0, "", b"", b"")
    pushed = registry.rows("SELECT hash FROM desired WHERE gateway = ?", (name,))
    with registry.reading() as db:
        row, denied = gateways.get(db, name), gateways.denied(db, name)
    return Facts(
        fleet_pb2.Health.FromString(report.health),
        fleet_pb2.ConfigStatus.FromString(report.config),
        bytes(pushed[0][0]).hex() if pushed else "",
        row.expires_ns if row is not None else 0,
        denied.reason if denied is not None else "",
        tuple(witness.told(registry).get(name, ())),
    )


def stored(store: StoreReader, name: str) -> Stored:
    """Read a box's account; empty if nothing ever came. StoreError."""
    if store.gateway_id(name) is None:
        return Stored((), (), 0)
    lines = store.lines(name)
    found = []
    for mark in watermarks(lines):
        own = [line for line in lines if line.stream == mark.stream]
        found.append(
            Stream(
                stream=uplink_pb2.Stream.Name(mark.stream).lower(),
                mark=f"{mark.epoch >> 32}/{mark.seq:,}",
                open=mark.open,
                **{field: sum(getattr(line, field) for line in own) for field in SUMS},
            )
        )
    twins = next((row.twins for row in store.gateways() if row.name == name), 0)
    forks, aside = tuple(store.forks(name)), tuple(store.aside.listed(name, MOST_ASIDE))
    return Stored(tuple(found), forks, twins, aside)


def unknown(name: str) -> UsageError:
    """Give the error for a box that nobody knows."""
    return UsageError(f"nothing is known of {name!r}", hint="it must be enrolled, or have come")
