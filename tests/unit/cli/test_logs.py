"""The daemon's log, written by a real process: one configuration per process is the point of it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

SPEAK = """
import logging, warnings, sys
import structlog
from forebay.cli import logs
from forebay.events import DEVICE_CONNECTED, POLL_OVERRUN, SEGMENT_SEALED, Events
logs.set_up(sys.argv[1], as_json=sys.argv[2] == "json")
events = Events()
events.emit(SEGMENT_SEALED, stream="telemetry")
events.emit(DEVICE_CONNECTED, device="press")
events.emit(POLL_OVERRUN, device="press", late_ms=3)
library = logging.getLogger("asyncua.client")
library.info("each request")
library.warning("channel %d closes", 7)
library.warning("%d of %d", 1)  # a fault of the library, which must not stop the daemon
try:
    password = "hunter" + str(2)
    raise ValueError("inside")
except ValueError:
    library.exception("it broke")
warnings.warn("old call", DeprecationWarning, stacklevel=1)
"""


async def speak(level: str, form: str, more: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "always",
        "-c",
        SPEAK + more,
        level,
        form,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    return err.decode()


async def spoken(level: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (await speak(level, "json")).splitlines() if line[0] == "{"
    ]


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["segment_sealed", "device_connected", "poll_overrun"]),
        ("info", ["device_connected", "poll_overrun"]),
        ("warning", ["poll_overrun"]),
        ("error", []),
    ],
)
async def test_the_level_holds(level: str, events: list[str]) -> None:
    lines = await spoken(level)
    assert [line["event"] for line in lines if "library" not in line] == events


async def test_libraries_are_heard_from_warning_on() -> None:
    lines = [line for line in await spoken("debug") if "library" in line]
    assert [line["event"] for line in lines[:2]] == ["channel 7 closes", "it broke"]
    assert [line["level"] for line in lines] == ["warning", "error", "warning"]
    assert lines[0]["library"] == "asyncua.client"
    assert lines[1]["exception"][0]["exc_value"] == "inside"
    assert "DeprecationWarning: old call" in lines[2]["event"]
    assert all(line["timestamp"].endswith("Z") for line in lines)


async def test_people_get_plain_lines() -> None:
    text = await speak("info", "console")
    assert "device_connected" in text
    assert "device=press" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_traceback_shows_no_variables(form: str) -> None:
    text = await speak("info", form)
    assert "inside" in text
    assert "hunter2" not in text


async def test_another_level_reaches_who_logged_before_and_each_line_is_kept() -> None:
    again = """
kept = []
logs.set_up("error", as_json=True, keep=kept.append)
events.emit(DEVICE_CONNECTED, device="quiet")
logs.set_up("debug", as_json=True, keep=kept.append)
events.emit(SEGMENT_SEALED, stream="loud")
assert len(kept) == 1 and "loud" in kept[0], kept
"""
    text = await speak("info", "json", again)
    lines = [json.loads(line) for line in text.splitlines() if line[0] == "{"]
    told = [line["event"] for line in lines if line.get("stream") or line.get("device")]
    assert told == ["device_connected", "poll_overrun", "segment_sealed"]
