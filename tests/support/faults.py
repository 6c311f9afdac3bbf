"""Real processes whose system calls go wrong, and the judgement of what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.clock import SystemClock
from forebay.columnar import decode_gap
from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from forebay.model import Gap, RecordKind
from support.journal import PLENTY, T, name_of, read_all, seams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.model import Position

TESTS = Path(__file__).parents[1]
EXIT_IO_ERROR = 74
OWN_NAMESPACES = ("unshare", "-rm", "--pid", "--fork", "--kill-child")
"""What a command runs under that mounts file systems; all that it starts ends with it."""


def injecting(strace: Path, log: Path, *faults: str, path: Path | None = None) -> list[str]:
    """Give the words before a command that make its system calls fail as strace(1) has it.

    `faults` are values of `-e inject=`. With `path` only calls on that file fail. The command is
    the child that is started; strace stands behind it.
    """
    words = [str(strace), "-D", "-f", "-qq", "-o", str(log)]
    calls = ",".join(fault.split(":")[0] for fault in faults)
    words += ["-e", f"trace={calls}", *(["-P", str(path)] if path else [])]
    for fault in faults:
        words += ["-e", f"inject={fault}"]
    return words


def python(
    module: str, *words: object, before: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Give the command and environment that run a module of tests/support."""
    command = [*before, sys.executable, "-m", module, *map(str, words)]
    return command, {**os.environ, "PYTHONPATH": str(TESTS)}


def lived(
    directory: Path, first: int, *more: object, before: Sequence[str] = ()
) -> tuple[int, int]:
    """Run `journal_life` to its end; give its status and the last name that it told durable."""
    command, environment = python("support.journal_life", directory, first, *more, before=before)
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False, timeout=60)
    told = [int(line) for line in ran.stdout.split(b"\n") if line.isdigit()]
    return ran.returncode, max(told, default=first - 1)


@dataclass
class Found:
    """What a start finds: names in order, positions with payloads, gaps, the account's terms."""

    names: list[int]
    records: dict[Position, bytes]
    gaps: list[Gap]
    produced: int
    pending: int
    gapped: int
    delivered: int


async def found(directory: Path) -> Found:
    """Start once more, under limits that let nothing go, and read everything.

    The account must balance, and what is readable must be what is pending or delivered.
    """
    real = replace(seams(), disk=SystemDisk(), clock=SystemClock())
    async with Journal(directory, PLENTY, real) as journal:
        records = await read_all(journal, T, 1 << 20)
        cursor = journal.cursor("cloud")
        account = journal.ledger(T, cursor)
    assert account.balanced, account
    batches = [r for r in records if r.kind is RecordKind.BATCH]
    behind = [r.samples for r in batches if r.position > cursor.get(T)]
    assert account.pending == sum(behind), account
    return Found(
        names=[name_of(r) for r in batches],
        records={r.position: r.payload for r in records},
        gaps=[decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP],
        produced=account.produced,
        pending=account.pending,
        gapped=account.gapped,
        delivered=account.delivered,
    )
