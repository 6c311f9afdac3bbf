"""What is kept of what a plugin prints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.clock import SystemClock
from forebay.pluginhost.logs import FILE_BYTES, KEPT_LINES, LINE_CHARACTERS, PluginLog

if TYPE_CHECKING:
    from pathlib import Path


def reader(data: bytes) -> asyncio.StreamReader:
    made = asyncio.StreamReader()
    made.feed_data(data)
    made.feed_eof()
    return made


def sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in directory.iterdir()}


async def test_lines_are_in_memory_and_on_disk(tmp_path: Path) -> None:
    log = PluginLog(tmp_path / "plugin.log", 100, SystemClock())
    await log.drink(reader(b"one\ntwo\nlast without an end"), "7")
    assert [line.partition(" ")[2] for line in log.tail(10)] == [
        "7 one",
        "7 two",
        "7 last without an end",
    ]
    assert (tmp_path / "plugin.log").read_text(encoding="utf-8").splitlines() == log.tail(10)
    assert log.tail(1) == log.tail(10)[-1:]
    assert log.tail(0) == []
    assert (log.printed, log.dropped) == (3, 0)


async def test_what_is_too_much_is_counted_and_said(tmp_path: Path) -> None:
    log = PluginLog(tmp_path / "plugin.log", 10, SystemClock())
    await log.drink(reader(b"x\n" * 5000), "7")
    assert log.dropped >= 4900
    assert log.dropped + log.printed >= 5000
    while not any("lines were not kept" in line for line in log.tail(20)):
        await log.drink(reader(b"more\n"), "7")
        await asyncio.sleep(0.05)


async def test_control_characters_and_long_lines_do_no_harm(tmp_path: Path) -> None:
    log = PluginLog(tmp_path / "plugin.log", 100, SystemClock())
    await log.drink(reader(b"\x1b[2J\xff\r\n" + b"y" * (1 << 20) + b"\nend\n"), "7")
    first, *_, last = log.tail(1000)
    assert "\x1b" not in first
    assert last.endswith("end")
    assert all(len(line) < LINE_CHARACTERS + 64 for line in log.tail(1000))


async def test_the_file_turns_over(tmp_path: Path) -> None:
    log = PluginLog(tmp_path / "plugin.log", 10_000, SystemClock())
    for _ in range(3):
        await log.drink(reader((b"z" * 999 + b"\n") * 1200), "7")
    assert sorted(sizes(tmp_path)) == ["plugin.1.log", "plugin.log"]
    assert sum(sizes(tmp_path).values()) < 4 * FILE_BYTES
    assert len(log.tail(1 << 20)) == KEPT_LINES


async def test_a_log_that_cannot_be_written_is_in_memory(tmp_path: Path) -> None:
    log = PluginLog(tmp_path / "missing/plugin.log", 100, SystemClock())
    await log.drink(reader(b"one\n"), "7")
    assert len(log.tail(10)) == 1
