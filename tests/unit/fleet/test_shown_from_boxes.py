"""What boxes say of themselves is shown to people: it must not do anything to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.cli import app, common, output
from forebay_fleet.desired import reports, states
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\r\nok"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make a server's data with an honest box, and one that says what no box says."""
    evil = fleet_pb2.ConfigStatus(desired=b"x" * 32)
    evil.last_attempt.error, evil.last_attempt.hint = ESCAPES, ESCAPES
    evil.last_attempt.phase = 99  # type: ignore[assignment] # proto3 lets any number through
    health = fleet_pb2.Health(status=ESCAPES)
    with Registry(tmp_path) as registry:
        states.prepare(registry)
        said = health.SerializeToString(), evil.SerializeToString()
        reports.note(registry, reports.Report("evil", 1, 5, ESCAPES[:64], *said))
        good = fleet_pb2.Health(status="well").SerializeToString()
        reports.note(registry, reports.Report("good", 1, 5, "1.0", good, b""))
    return tmp_path


def test_one_box_that_says_nonsense_does_not_hide_the_others(data: Path) -> None:
    shown = CliRunner().invoke(app, ["show", "good", "--data", str(data)])
    assert shown.exit_code == 0, shown.output
    assert "well" in shown.output
    shown = CliRunner().invoke(app, ["show", "evil", "--json", "--data", str(data)])
    assert json.loads(shown.output)["config"]["last_attempt"]["phase"] == "99"


def test_what_a_box_says_moves_no_cursor_and_begins_no_line(data: Path) -> None:
    shown = CliRunner().invoke(app, ["show", "evil", "--data", str(data)])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert not any(ord(letter) < 32 or letter in "\x7f\u202e" for line in lines for letter in line)
    assert "ok" not in [line.strip() for line in lines]


def test_tables_keep_every_letter_that_a_person_can_read() -> None:
    head, row = output.lines(("name", "unit"), [("Öfen 3 süd", "°C")])
    assert row.split("  ")[-1] == "°C"
    assert "Öfen 3 süd" in row
    assert head.startswith("name")


def test_who_has_a_number_only_may_push_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)
    assert common.user() == "uid-987654321"
