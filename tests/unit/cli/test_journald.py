"""Log lines for systemd's journal: fields by name, priorities, and when it is the journal."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from forebay.cli import journald, logs
from forebay.events import DATA_LOST, DEVICE_LOST, POLL_OVERRUN, Events
from forebay.management.logtail import LogTail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def entries() -> Iterator[list[dict[str, str]]]:
    """What the journal would have got; logging is as before at the end."""
    sent: list[dict[str, str]] = []
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    logs.set_up("info", as_json=False, send=lambda **fields: sent.append(fields))
    yield sent
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(before)


def test_each_field_can_be_asked_for(entries: list[dict[str, str]]) -> None:
    events = Events()
    events.emit(DEVICE_LOST, device="press", error="no route\nto host", hint="look at the cable")
    (entry,) = [one for one in entries if one.get("FOREBAY_DEVICE") == "press"]
    assert entry == {
        "MESSAGE": "device_lost device=press error='no route\\nto host' hint='look at the cable'",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "forebay",
        "FOREBAY_EVENT": "device_lost",
        "FOREBAY_DEVICE": "press",
        "FOREBAY_ERROR": "no route\nto host",
        "FOREBAY_HINT": "look at the cable",
    }


def test_priorities_and_level(entries: list[dict[str, str]]) -> None:
    events = Events()
    events.emit(POLL_OVERRUN, device="press", late_ms=3)  # debug: not from info on
    events.emit(DATA_LOST, cause="CORRUPT", parts=["a", 7])
    mine = [one for one in entries if "FOREBAY_LIBRARY" not in one]  # others may speak meanwhile
    assert [(one["FOREBAY_EVENT"], one["PRIORITY"]) for one in mine][-1] == ("data_lost", "3")
    assert mine[-1]["FOREBAY_PARTS"] == '["a", 7]'
    assert {one["PRIORITY"] for one in entries} <= {"3", "4", "6"}


def test_a_library_that_breaks_tells_where_and_no_variables(entries: list[dict[str, str]]) -> None:
    library = logging.getLogger("somelib.client")
    password = "hunter" + str(2)
    try:
        int(f"no number {len(password)}")
    except ValueError:
        library.exception("it broke")
    (entry,) = [one for one in entries if "it broke" in one["MESSAGE"]]
    assert (entry["PRIORITY"], entry["FOREBAY_LIBRARY"]) == ("3", "somelib.client")
    assert "ValueError: invalid literal" in entry["MESSAGE"]
    assert password not in json.dumps(entry)


def test_people_on_the_box_read_the_same_lines() -> None:
    tail = LogTail()
    (render,) = journald.rendering(tail.add)
    event: dict[str, Any] = {"event": "device_lost", "device": "press", "level": "warning"}
    rendered = render(None, "warning", event | {"timestamp": "2026-11-23T11:00:00Z"})
    told = {"event": "device_lost", "device": "press"}
    assert rendered == (("device_lost device=press", "warning", told), {})
    (line,) = tail.lines()
    assert line.startswith("2026-11-23T11:00:00Z [warning  ] device_lost")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("seq_from", "FOREBAY_SEQ_FROM"),
        ("größe-1", "FOREBAY_GR_SSE_1"),
        ("x" * 90, "FOREBAY_" + "X" * 56),
    ],
)
def test_names_are_those_that_the_journal_takes(name: str, field: str) -> None:
    assert journald.field_name(name) == field


def test_it_is_the_journal_if_systemd_says_so(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        mine = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert journald.is_journal(stream, mine)
        assert not journald.is_journal(stream, {})
        with (tmp_path / "other").open("w") as other:
            assert not journald.is_journal(other, mine), "somebody sent it elsewhere"
    assert not journald.is_journal(stream, mine), "it is closed"
