"""Another level for a while: it ends, whatever the configuration does meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from forebay.config.model import LogSettings
from forebay.errors import RequestInvalid
from forebay.management.loglevel import LogLevel
from forebay.management.logtail import MAX_CHARACTERS, MAX_LINES, LogTail
from forebay.testing.clock import FakeClock
from support.forwarding import make_seams


async def test_a_level_holds_for_its_time_and_no_longer() -> None:
    clock, told = FakeClock(), list[tuple[str, str]]()
    seams = replace(make_seams(), clock=clock)
    level = LogLevel(LogSettings(), lambda log: told.append((log.level, log.format)), seams)
    task = asyncio.create_task(level.run(), name="level")
    level.ask("debug", 100.0)
    await clock.advance(50)
    level.follow(LogSettings(level="error", format="json"))
    assert told == [("debug", "auto"), ("debug", "json")]
    await clock.advance(51)
    assert told[-1] == ("error", "json")
    level.ask("debug", 1_000.0)
    level.ask("warning", 10.0)
    await clock.advance(11)
    assert told[-2:] == [("warning", "json"), ("error", "json")]
    count = len(told)
    await clock.advance(2_000)
    assert len(told) == count
    for name, for_s in (
        ("loud", 1.0),
        ("debug", -1.0),
        ("debug", 86_401.0),
        ("debug", float("nan")),
    ):
        with pytest.raises(RequestInvalid):
            level.ask(name, for_s)
    task.cancel()
    await asyncio.wait([task])


def test_the_tail_of_the_log_is_bounded() -> None:
    tail = LogTail()
    for number in range(MAX_LINES + 10):
        tail.add(f"{number} {'x' * MAX_CHARACTERS}")
    lines = tail.lines()
    assert len(lines) == MAX_LINES
    assert lines[0].startswith("10 ")
    assert all(len(line) == MAX_CHARACTERS for line in lines)
