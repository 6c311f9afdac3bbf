"""`forebay events --follow` and `forebay trace` on a directory that somebody writes to."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from forebay.model import Stream
from support.batches import batch_entry
from support.journal import PLENTY, seams
from support.processes import BIN, run_forebay, until
from support.real_journal import BEGIN, SECOND, dense
from unit.journal.test_happenings import alarm

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_goes_on_as_they_come(tmp_path: Path) -> None:
    where = tmp_path / "journal"
    heard: list[str] = []
    async with Journal(where, PLENTY, seams(SystemDisk())) as log:

        async def happens(number: int) -> None:
            entry = batch_entry(alarm(number, f"n{number}"), Stream.EVENTS)
            await log.submit([entry])

        for number in range(3):
            await happens(number)
        process = await asyncio.create_subprocess_exec(
            *(str(BIN / "forebay"), "events", "--directory", str(where)),
            *("--follow", "--last", "2", "--kind", "event", "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None

        async def hear() -> None:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                heard.append(json.loads(line)["fields"]["message"])

        hearing = asyncio.create_task(hear())
        try:
            await until(lambda: heard == ["n1", "n2"], "what was before")
            for number in range(3, 9):
                await happens(number)
            await until(lambda: heard[2:] == [f"n{n}" for n in range(3, 9)], "each, once")
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()
            await hearing
        assert process.returncode == 0, "Ctrl-C is how it ends"


async def test_words_that_make_no_sense_have_a_next_step(tmp_path: Path) -> None:
    where = tmp_path / "journal"
    async with Journal(where, PLENTY, seams(SystemDisk())) as log:
        await log.submit([batch_entry(dense(1))])
    for words, said in (
        (("events", "--kind", "nonsense"), "kinds: event, deed, gap"),
        (("events", "--since", "yesterday"), "neither a time nor a duration"),
        (("trace", "press"), "is not DEVICE/TAG"),
        (("trace", "press/none"), "has no sample of press/none"),
        (("trace", "press/speed", "--at", "never"), "neither a time nor a duration"),
    ):
        code, out = await run_forebay(*words, "--directory", str(where))
        assert (code, said in out) == (2, True), out
        assert "next:" in out
    code, out = await run_forebay("trace", "press/pressure", "--directory", str(where), "--json")
    assert code == 0
    assert json.loads(out)["time_ns"] == BEGIN + 3 * SECOND
    code, out = await run_forebay("events", "--directory", str(where))
    assert (code, out) == (0, "nothing of the kind is in the journal\n")
    code, out = await run_forebay("events", "--directory", str(tmp_path / "none"))
    assert code == 2
