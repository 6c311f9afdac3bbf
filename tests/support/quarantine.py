"""Setting records aside without a forwarder, and a quarantine without a journal behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.model import RecordKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.journal import Journal
    from forebay.journal.quarantine import Quarantined
    from forebay.model import Record


async def nobody(going: Sequence[Quarantined]) -> None:
    """Account for copies that go: there is nobody to be told."""
    assert going


async def set_aside(journal: Journal, *records: Record, uplink: str = "cloud") -> None:
    """Keep copies of records that the uplink's destination has refused for good."""
    for record in records:
        await journal.quarantine.put(record, uplink=uplink, code="BadSchema", reason="why")
        samples = record.samples if record.kind is RecordKind.BATCH else 0
        journal.cursor(uplink).reject(record.position, samples)
