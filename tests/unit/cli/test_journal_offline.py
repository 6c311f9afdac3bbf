"""The installed command on real directories, with an agent and without."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.clock import SystemClock
from forebay.columnar import encode_schema
from forebay.control.server import ControlServer
from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from forebay.model import RecordKind
from support.commands import Finished, forebay
from support.journal import T, read_all, seams
from support.real_journal import PRESS, SMALL, feed
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = encode_schema(PRESS)


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A journal on a real disk, with a record of `press` in quarantine."""
    where = tmp_path / "journal"
    log = Journal(where, SMALL, replace(seams(SystemDisk()), clock=SystemClock()))
    async with log:
        await feed(log, 1, 60)
        batch = next(r for r in await read_all(log) if r.kind is RecordKind.BATCH)
        await log.quarantine.put(batch, uplink="cloud", code="X", reason="", schema=SCHEMA)
    return where


async def on(directory: Path, *words: str | Path) -> Finished:
    return await forebay("journal", *words, "--directory", directory)


async def test_verify_says_sound_or_names_what_is_not(directory: Path) -> None:
    good = await on(directory, "verify")
    assert (good.code, good.err) == (0, "")
    assert good.out.splitlines()[-1].startswith("sound: ")
    first, *_ = sorted((directory / "telemetry").iterdir())
    data = bytearray(first.read_bytes())
    data[300] ^= 4
    first.chmod(0o640)
    first.write_bytes(data)
    bad = await on(directory, "verify", "--json")
    assert (bad.code, bad.err) == (1, "")
    found = bad.document()
    assert (found["sound"], found["directory"]) == (False, str(directory))
    assert found["problems"][0]["where"] == f"telemetry/{first.name}"
    assert {line["stream"] for line in found["streams"]} == {"events", "telemetry"}


async def test_an_agent_is_asked_for_its_directory(directory: Path, tmp_path: Path) -> None:
    agent = ScriptedAgent()
    agent.journal = replace(agent.journal, directory=str(directory), max_bytes=1 << 30)
    socket = tmp_path / "control.sock"
    async with ControlServer(socket, agent):
        for command in ("verify", "forecast"):
            done = await forebay("journal", command, "--json", "--socket", socket)
            assert done.code == 0, done.err
            assert done.document()["directory"] == str(directory)
    assert (await forebay("journal", "verify", "--socket", socket)).code == 3


@pytest.mark.parametrize("command", ["verify", "export", "forecast"])
async def test_a_directory_that_is_no_journal(command: str, tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "none"):
        done = await on(where, command)
        assert done.code == 2
        assert "cannot be looked at" in done.err
        assert "--directory" in done.err


async def test_export_writes_to_standard_output_or_to_a_new_file(
    directory: Path, tmp_path: Path
) -> None:
    lines = await on(directory, "export", "--tag", "speed")
    rows = [json.loads(line) for line in lines.out.splitlines()]
    assert {row["tag"] for row in rows if row["kind"] == "sample"} == {"speed"}
    assert any(row["kind"] == "gap" for row in rows)
    target = tmp_path / "out.csv"
    done = await on(directory, "export", "--tag", "speed", "--format", "csv", "--output", target)
    assert (done.code, done.err) == (0, "")
    table = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert len(table) == len(rows)
    again = await on(directory, "export", "--output", target, "--json")
    assert (again.code, again.document()["error"]["message"]) == (2, f"{target} is there already")
    assert len(target.read_text(encoding="utf-8").splitlines()) == len(rows) + 1


async def test_export_by_time_and_stream(directory: Path, tmp_path: Path) -> None:
    nothing = await on(directory, "export", "--from", "2100-01-01", "--stream", "all")
    assert (nothing.code, nothing.out) == (0, "")
    target = tmp_path / "all.jsonl"
    done = await on(
        directory, "export", "--to", "2100-01-01T00:00:00Z", "--stream", "all",
        "--output", target, "--json",
    )  # fmt: skip
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    counts = done.document()
    assert (counts["samples"], counts["gaps"]) == (
        sum(row["kind"] == "sample" for row in rows),
        sum(row["kind"] == "gap" for row in rows),
    )
    assert {row["stream"] for row in rows} == {"events", "telemetry"}
    ago = await on(directory, "export", "--from", "2 h")
    assert (ago.code, ago.out) == (0, ""), "the readings are of another day"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "xml"), "there is no format 'xml'"),
        (("--from", "yesterday"), "is neither a time nor a duration"),
        (("--stream", "x"), "there is no stream 'x'"),
        (("--from", "2 h", "--to", "3 h"), "--from is later than --to"),
        (("--device", "pres"), "nothing in the journal is of device 'pres'"),
        (("--device", "press", "--tag", "x"), "nothing in the journal is of tag 'x' of press"),
        (("--json",), "there is no file to write to"),
        (("--format", "segments"), "segments need a directory"),
        (("--format", "segments", "--output", "x", "--tag", "y"), "segments are copied whole"),
        (("--output", "/nonexistent/x"), "cannot be written"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_what_cannot_be_exported(
    directory: Path, options: tuple[str, ...], said: str
) -> None:
    done = await on(directory, "export", *options)
    assert done.code in (1, 2)
    assert said in done.err
    assert "  next: " in done.err


async def test_segments_and_parquet(directory: Path, tmp_path: Path) -> None:
    copy, table = tmp_path / "copy", tmp_path / "x.parquet"
    done = await on(directory, "export", "--format", "segments", "--output", copy, "--json")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    assert done.document()["segments"] == len(manifest["segments"]) > 3
    assert (await on(copy, "verify")).code == 0
    done = await on(directory, "export", "--format", "parquet", "--output", table)
    assert done.code == 0, done.err
    assert table.read_bytes()[:4] == b"PAR1"


async def test_forecast_at_80_columns_and_as_json(directory: Path) -> None:
    done = await on(directory, "forecast", "--size", "1 GiB")
    assert (done.code, done.err) == (0, "")
    assert max(len(line) for line in done.out.splitlines()) <= 80
    found = (await on(directory, "forecast", "--json", "--top", "2")).document()
    telemetry = [pool for pool in found["pools"] if pool["streams"] == ["telemetry"]]
    assert [pool["window_s"] for pool in telemetry] == [3_600, 86_400]
    assert telemetry[0]["rate"]["samples_s"] > 0
    assert 0 < telemetry[0]["thins_in_s"] < telemetry[0]["drops_in_s"]
    assert [tag["device"] for tag in found["tags"]] == ["press", "press"]
    assert {one["level_s"] for one in found["thinning"]} == {10, 60}
    wrong = await on(directory, "forecast", "--size", "much")
    assert wrong.code == 2


async def test_what_is_in_quarantine_can_be_looked_at_and_taken_out(
    directory: Path, tmp_path: Path
) -> None:
    (path,) = (directory / "quarantine" / "cloud").iterdir()
    copy_id = f"cloud/{path.name.removesuffix('.rec')}"
    shown = await on(directory, "quarantine", "show", copy_id)
    assert (shown.code, shown.err) == (0, "")
    assert "batch 2 of telemetry" in shown.out
    assert "pressure" in shown.out
    rows = (await on(directory, "quarantine", "show", copy_id, "--json")).document()["rows"]
    assert len(rows) == 12
    target = tmp_path / "aside.csv"
    done = await on(
        directory, "quarantine", "export", copy_id, "--format", "csv", "--output", target
    )
    assert "".join(done.out.split()) == f"{target}:12samples"  # folded, if the path is long
    missing = await on(directory, "quarantine", "show", f"{copy_id}0")
    assert missing.code == 2
    assert "list it: forebay journal quarantine ls" in missing.err
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    damaged = await on(directory, "quarantine", "export", copy_id)
    assert damaged.code == 1
    assert "is damaged on disk" in damaged.err
    assert (await on(directory, "verify")).code == 1


async def test_a_running_journal_is_sound_and_exported_while_it_is_written(tmp_path: Path) -> None:
    where = tmp_path / "journal"
    log = Journal(where, SMALL, replace(seams(SystemDisk()), clock=SystemClock()))
    async with log:
        await feed(log, 1, 40)
        done = await on(where, "verify")
        assert done.code == 0, done.out
        before = len(await read_all(log, T))
        await feed(log, 40, 60)
        lines = (await on(where, "export")).out.splitlines()
        assert max(json.loads(line)["seq"] for line in lines) > before


async def test_ls_and_show_say_without_an_agent_what_one_says(directory: Path) -> None:
    listed = (await on(directory, "ls", "--json")).document()["segments"]
    newest = (await on(directory, "show", "--json", "--limit", "30")).document()["records"]
    first = (await on(directory, "show", "--json", "--from", "1", "--limit", "7")).document()
    async with Journal(directory, SMALL, seams(SystemDisk(), seed=7)) as log:
        told = log.segments()
        shown = await read_all(log)
    assert [(one["file"], one["samples"]) for one in listed] == [(s.file, s.samples) for s in told]
    assert [(one["first_seq"], one["last_seq"], one["bytes"]) for one in listed] == [
        (s.first_seq, s.last_seq, s.bytes) for s in told
    ]
    assert [one["seq"] for one in newest] == [r.position.seq for r in shown[-30:]]
    assert {one["text"] for one in newest if one["kind"] == "batch"} >= {"press fast"}
    assert [one["seq"] for one in first["records"]] == [1, 2, 3, 4, 5, 6, 7]
    table = await on(directory, "ls", "--stream", "telemetry")
    assert table.out.count("sealed") == sum(s.stream is T for s in told)
    assert (await on(directory, "ls", "--stream", "x")).code == 2
    assert (await on(directory / "cursors", "show")).code == 2


async def test_ls_and_show_of_a_journal_that_ended_in_a_crash(directory: Path) -> None:
    *_, last = sorted((directory / "telemetry").iterdir())
    before = (await on(directory, "ls", "--json", "--stream", "telemetry")).document()["segments"]
    records = (await on(directory, "show", "--json")).document()
    last.chmod(0o640)
    with last.open("r+b") as file:
        file.seek(-64, 2)
        file.write(bytes(64))
    after = (await on(directory, "ls", "--json", "--stream", "telemetry")).document()["segments"]
    assert [one["sealed"] for one in after[-2:]] == [True, False]
    same = ("first_seq", "last_seq", "samples", "time_min_ns", "time_max_ns")
    assert [after[-1][key] for key in same] == [before[-1][key] for key in same]
    assert (await on(directory, "show", "--json")).document() == records


@pytest.mark.parametrize(
    "command", [("verify",), ("export",), ("forecast",), ("ls",), ("show",)], ids=" ".join
)
async def test_without_an_agent_the_way_to_a_directory_is_told(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = await forebay("journal", *command, "--socket", tmp_path / "none.sock")
    assert done.code == 3
    assert done.err.endswith(", or name the journal with --directory\n")
    other = await forebay("journal", "status", "--socket", tmp_path / "none.sock")
    assert other.code == 3
    assert "--directory" not in other.err
