"""What is named like a segment and is no regular file stops nothing, and is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from forebay.files import SystemDisk
from forebay.journal import measure
from forebay.journal.export import Block, Choice, export
from forebay.journal.journal import Journal
from forebay.journal.offline import OfflineJournal
from forebay.journal.segment import file_name
from forebay.journal.verify import verify
from forebay.model import RecordKind
from support.batches import batch_entry
from support.forwarding import make_seams
from support.journal import PLENTY, T, read_all
from support.telemetry import scans

READ_JOURNAL = Path(__file__).parents[3] / "scripts" / "read-journal"


async def test_strangers_named_like_segments_stop_nothing(tmp_path: Path) -> None:
    async with Journal(tmp_path, PLENTY, make_seams()) as log:
        await log.submit([batch_entry(scans(1)), batch_entry(scans(2))])
    folder = tmp_path / "telemetry"
    strangers = {file_name(1, 1), file_name(2, 1) + ".new", file_name(3, 1) + ".bad"}
    for name in strangers:
        (folder / name).mkdir()
    pipe = file_name(1 << 40, 9)
    os.mkfifo(folder / pipe)  # whoever opens it waits for somebody who writes
    (folder / file_name(4, 1)).symlink_to("nowhere")
    strangers |= {pipe, file_name(4, 1)}

    async with Journal(tmp_path, PLENTY, make_seams()) as log:
        await log.submit([batch_entry(scans(3))])
        kinds = [record.kind for record in await read_all(log, T)]
        assert kinds.count(RecordKind.BATCH) == 3
    look(tmp_path, strangers)


def look(directory: Path, strangers: set[str]) -> None:
    """See it as all see it that look from outside."""
    there = OfflineJournal(directory, SystemDisk())
    assert len(there.segments(T)) == 2
    assert measure.grown(there).spans
    assert measure.sample(there).newest
    assert sum(isinstance(item, Block) for item in export(there, Choice())) == 3
    report = verify(directory, SystemDisk())
    assert report.sound, report.problems
    noted = {note.where for note in report.notes if "no file" in note.what}
    assert noted == {f"telemetry/{name}" for name in strangers}
    lines = subprocess.run(
        [sys.executable, READ_JOURNAL, directory], capture_output=True, check=True, timeout=20
    ).stdout.splitlines()
    assert sum(json.loads(line)["kind"] == "batch" for line in lines) == 3
    assert {path.name for path in (directory / "telemetry").iterdir()} >= strangers, (
        "nothing of others is touched"
    )
