"""Quarantined records through the control's own hands: real copies, a forwarder that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay.control.setaside import SetAside
from forebay.errors import UplinkUnavailable
from forebay.journal.quarantine import Quarantine
from forebay.testing.disk import FaultyDisk
from forebay.testing.records import make_record
from support.journal import seams
from support.quarantine import nobody

if TYPE_CHECKING:
    from forebay.model import Record


class Sender:
    """Takes records of an odd seq, refuses seq 2, and has no session for any other."""

    def __init__(self) -> None:
        self.taken: list[Record] = []

    async def retry(self, record: Record) -> bool:
        if record.position.seq == 4:
            raise UplinkUnavailable("no session", hint="see `forebay uplinks`")
        if record.position.seq % 2:
            self.taken.append(record)
        return bool(record.position.seq % 2)


@pytest.fixture
async def quarantine() -> Quarantine:
    found = Quarantine(Path("/journal/quarantine"), 1 << 20, seams(FaultyDisk()), nobody)
    for seq in range(1, 5):
        await found.put(make_record(seq), uplink="cloud", code="Broken", reason="as ever")
    await found.put(make_record(1), uplink="other", code="Broken", reason="")
    return found


async def test_what_is_taken_leaves_and_what_is_not_stays_with_a_reason(
    quarantine: Quarantine,
) -> None:
    sender: Any = Sender()
    aside = SetAside(quarantine, {"cloud": sender})
    ids = [one.id for one in aside.list("")]
    assert (aside.count(), aside.count("cloud"), len(ids)) == (5, 4, 5)
    done = await aside.retry([*ids, "cloud/none"])
    assert done.done == (ids[0], ids[2])
    assert sender.taken == [make_record(1), make_record(3)]
    assert [one.split(": ")[0] for one in done.failed] == [ids[1], ids[3], ids[4], "cloud/none"]
    assert [one.split(": ")[1] for one in done.failed] == [
        "cloud did not take it (see `forebay uplinks`, and what the destination's log says of it)",
        "no session (see `forebay uplinks`)",
        "there is no enabled uplink 'other' (enable it and restart the agent)",
        "nothing in quarantine is called 'cloud/none' (list it",
    ]
    assert [one.id for one in aside.list("")] == [ids[1], ids[3], ids[4]]


async def test_drop_is_for_good(quarantine: Quarantine) -> None:
    aside = SetAside(quarantine, {})
    first, *rest = [one.id for one in aside.list("cloud")]
    done = await aside.drop([first, first])
    assert done.done == (first,)
    assert len(done.failed) == 1
    assert [one.id for one in aside.list("cloud")] == rest
    again = Quarantine(Path("/journal/quarantine"), 1 << 20, seams(FaultyDisk()), nobody)
    assert again.load() == ()


async def test_a_line_tells_what_is_set_aside(quarantine: Quarantine) -> None:
    one = next(iter(SetAside(quarantine, {}).list("other")))
    assert (one.uplink, one.stream, one.seq, one.kind, one.code) == (
        "other",
        "telemetry",
        1,
        "batch",
        "Broken",
    )
    assert one.bytes == len(make_record(1).payload)
    assert one.id == f"other/telemetry-{one.epoch:016x}-{one.seq:016x}"
