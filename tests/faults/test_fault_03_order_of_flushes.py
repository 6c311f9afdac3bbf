"""Fault 3 on the real disk seam: what is flushed before what, as the kernel sees it.

A cut shows nothing on a machine whose power stays, and the modelled disk takes the seam's place.
That each promise of the seam is kept by a flush, in the right order, only the system calls show.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.db.sqlite import SqliteDatabase
from forebay_fleet.store.opening import FILE, connect
from support.disk_life import TIMES
from support.faults import lived, python
from support.syscalls import FLUSHES, Trace, tracing

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 160
"""Records of which the oldest must go."""
SYNCHRONOUS_FULL = 2
"""SQLite, PRAGMA synchronous."""


def traced(strace: Path, directory: Path, what: str) -> Trace:
    """Watch `disk_life`."""
    log = directory / "strace"
    command, environment = python(
        "support.disk_life", directory / "d", what, before=tracing(strace, log)
    )
    subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
    trace = Trace.read(log)
    assert sum(call.tells for call in trace.calls) == TIMES
    return trace


def test_fault_03_a_small_file_is_replaced_in_the_order_that_survives(
    tmp_path: Path, strace_binary: Path
) -> None:
    trace = traced(strace_binary, tmp_path, "atomic")
    home = tmp_path / "d/one/two"
    path = str(home / "state.json")
    calls = [(call.name, call.paths) for call in trace.calls]
    made = [("fsync", (str(place),)) for place in (tmp_path, tmp_path / "d", tmp_path / "d/one")]
    assert calls[: len(made)] == made
    written = calls[len(made)][0]
    replaced = [
        (written, (path + ".new",)),
        ("fdatasync", (path + ".new",)),
        ("rename", (path + ".new", path)),
        ("fsync", (str(home),)),
    ]
    told = [("write", trace.calls[-1].paths)]
    assert calls[len(made) :] == (replaced + told) * TIMES


@pytest.mark.timeout(60)
def test_fault_03_the_journal_tells_and_names_only_what_is_flushed(
    tmp_path: Path, strace_binary: Path
) -> None:
    """Over sealing, dropping, cursors and tip, of a directory that holds few segments."""
    log = tmp_path / "strace"
    journal = tmp_path / "journal"
    assert lived(journal, 1, COUNT, "ROLL", before=tracing(strace_binary, log)) == (0, COUNT)
    trace = Trace.read(log)
    assert sum(call.tells for call in trace.calls) == COUNT
    for part, at_least in ((".seg", 20), (".json", 1)):
        renamed = [call.paths[-1] for call in trace.named("rename")]
        assert sum(path.endswith(part) for path in renamed) >= at_least, part
    assert len([c for c in trace.named("unlink") if c.paths[0].endswith(".seg")]) > 5
    assert trace.told_too_early(".seg") == []
    assert trace.renamed_too_early() == []
    assert trace.names_without_flush() == []


def test_fault_03_the_server_acknowledges_only_what_is_flushed(
    tmp_path: Path, strace_binary: Path
) -> None:
    trace = traced(strace_binary, tmp_path, "store")
    wal = f"{FILE}-wal"
    flushed = [call for call in trace.named(*FLUSHES) if call.paths[0].endswith(wal)]
    assert len(flushed) >= TIMES
    assert trace.told_too_early(wal) == []


def test_fault_03_the_server_asks_sqlite_to_flush_each_commit(tmp_path: Path) -> None:
    db, _ = connect(tmp_path, None)
    assert isinstance(db, SqliteDatabase)
    connection = db.connection
    try:
        assert connection.pragma("synchronous") == SYNCHRONOUS_FULL
        assert connection.pragma("journal_mode") == "wal"
    finally:
        connection.close()
