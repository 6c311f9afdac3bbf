"""The guides, followed word for word: every command that they show is run, in their order.

Only three things differ from a reader's table: where the meter is, the server's port, and that
commands which run until Ctrl-C run beside the others.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from forebay.agent import system_seams
from forebay.columnar import encode_batch, encode_schema
from forebay.control.address import Answer, knock
from forebay.journal.quarantine import Quarantine
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.registry import Registry
from forebay.testing.modbus_server import ModbusServer
from forebay.testing.records import make_record
from support.collector import collecting
from support.commands import forebay
from support.processes import free_port, until
from support.quarantine import nobody
from support.shown import commands
from support.typist import GUIDES, Typist, blocks
from support.writable_plc import WritablePlc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
README = GUIDES.parents[1] / "README.md"


@asynccontextmanager
async def reader(folder: Path) -> AsyncIterator[Typist]:
    """Be a reader's terminal in one directory; what lasts ends with it."""
    async with AsyncExitStack() as stack:
        yield Typist(folder, stack, COLUMNS="200")


def watts(area: str, address: int) -> int:
    """Give the halves of the float32 12345.0, the high one at even addresses."""
    del area
    return 0xE400 if address % 2 else 0x4640


@pytest.mark.follows("docs/guides/first-cloud.md")
async def test_from_the_first_plc_to_the_cloud(tmp_path: Path) -> None:
    first, second = ((GUIDES / f"first-{name}.md").read_text("utf-8") for name in ("plc", "cloud"))
    port = str(free_port())
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        (toml,), (csv,), (uplink,) = (
            blocks(first, "toml"),
            blocks(first, "csv"),
            blocks(second, "toml"),
        )
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (tmp_path / "forebay.toml").write_text(toml + uplink.replace("7443", port), "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        typed = [line.replace("7443", port) for line in commands(second)]
        done = await follow(shell, typed)
    assert [line.split()[:2] for line in typed].count(["forebay-fleet", "ca"]) == 3
    assert done["forebay check"] in second
    assert "connected" in done["forebay uplinks"]
    assert "telemetry" in done["forebay ledger"]
    shown = done["forebay-fleet query"].splitlines()
    # Where nothing disciplines this machine's clock, a last line says so.
    assert len([line for line in shown if not line.startswith("?")]) == 4
    assert done["forebay-fleet query"].count(" 12.345  kW ") == 3


@pytest.mark.follows("docs/guides/metered-link.md")
async def test_a_metered_line(tmp_path: Path) -> None:
    """The second guide with this one's tables in its file; then this one's commands."""
    names = ("first-plc", "first-cloud", "metered-link")
    first, second, third = ((GUIDES / f"{name}.md").read_text("utf-8") for name in names)
    port = str(free_port())
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        (toml,), (csv,) = blocks(first, "toml"), blocks(first, "csv")
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (uplink,), (limits,) = blocks(second, "toml"), blocks(third, "toml")
        text = toml + uplink.replace("7443", port) + limits
        (tmp_path / "forebay.toml").write_text(text, "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        lines = [line for guide in (second, third) for line in commands(guide)]
        done = await follow(shell, [line.replace("7443", port) for line in lines])
        seen = await shell.until("forebay uplinks", lambda text: "sent today" in text)
    assert "connected" in seen
    assert done["forebay check"] in third
    assert set(tomllib.loads(limits)["uplinks"]["cloud"]) == {"link", "live", "backfill"}


@pytest.mark.follows("README.md")
async def test_what_the_readme_begins_with() -> None:
    """In this clone, as its reader is."""
    (line,) = [one for one in commands(README.read_text("utf-8")) if one.startswith("forebay ")]
    done = await forebay(*line.split()[1:-1], README.parent / line.split()[-1])
    assert (done.code, done.out[:4]) == (0, "ok: "), done


@pytest.mark.follows("docs/guides/first-plc.md", "docs/guides/doctor.md")
async def test_the_first_plc(tmp_path: Path) -> None:
    """Everything that the guide shows is what comes, but for figures that are of a moment."""
    guide = (GUIDES / "first-plc.md").read_text("utf-8")
    (toml,), (csv,) = blocks(guide, "toml"), blocks(guide, "csv")
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        main, tags = tmp_path / "forebay.toml", tmp_path / "meter.csv"
        for shown in shown_by(guide):
            main.write_text(toml, "utf-8")
            tags.write_text(csv, "utf-8")
            if "devices.meter.prot:" in shown.out:  # the faults that the guide has on show
                main.write_text(toml.replace("protocol", 'prot = "modbus"\nprotocol'), "utf-8")
                tags.write_text(csv.replace("input:52,float32", "input:52,float"), "utf-8")
            if shown.line.startswith("forebay status"):
                await shell.until("forebay read meter/power", lambda text: " Good " in text)
            code, out = await shell.type(shown.line)
            assert code == (2 if "is unknown" in shown.out else 0), out
            assert timeless(out) == timeless(shown.out), shown.line
        code, out = await shell.type("forebay doctor --config forebay.toml")
        assert code in (0, 1), out  # the machine of the test may have faults of its own
        assert re.search(r"^ok +device meter: ", out, re.MULTILINE), out
        for line in ("forebay tags", "forebay devices", "forebay uplinks", "forebay ledger"):
            assert f"`{line}" in guide
            code, out = await shell.type(line)
            assert code == 0, out
        code, _ = await shell.type("forebay journal status")
        assert (code, "`forebay journal status`" in guide) == (0, True)


@pytest.mark.follows("docs/guides/metrics.md")
async def test_metrics(tmp_path: Path) -> None:
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "metrics"))
    (toml,), (csv,), (table, beyond, sent) = (
        blocks(first, "toml"),
        blocks(first, "csv"),
        blocks(guide, "toml"),
    )
    port = free_port()
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        main = tmp_path / "forebay.toml"
        main.write_text(f"{toml}{table}port = {port}\n", "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        typed = [line.replace("9464", str(port)) for line in commands(guide)]
        for line in typed[:-1]:
            await shell.until(line, lambda _: True)
        told = (
            'forebay_device_connected{device="meter"} 1.0',
            'produced_samples{stream="telemetry"',
        )
        await shell.until(typed[-1], lambda text: all(one in text for one in told))
        main.write_text(f"{toml}{beyond}", "utf-8")
        code, out = await shell.type("forebay check forebay.toml")
        assert (code, out.count(" does not exist")) == (2, 3), out  # its files are not there
        main.write_text(toml + beyond.partition("certificate")[0], "utf-8")
        code, out = await shell.type("forebay check forebay.toml")
        assert code == 2
        assert "is reached from other machines" in out
        to = free_port()
        main.write_text(f'{toml}{sent}port = {to}\nevery = "1 s"\n', "utf-8")
        async with collecting(to) as collector:
            code, out = await shell.type("forebay config apply forebay.toml --no-wait")
            assert code == 0, out
            while code == 0:  # its line is taken down, by the agent that goes on
                code, _ = await shell.type(typed[-1])
            await until(lambda: len(collector.got) > 1, "the collector is told")
        code, out = await shell.type("forebay devices --json")
        assert json.loads(out)["devices"][0]["connections"] == 1


class Shown(NamedTuple):
    """One command of a guide, and what the guide shows below it."""

    line: str
    out: str


def shown_by(guide: str) -> list[Shown]:
    said = "".join(blocks(guide, "console"))
    return [Shown(*part.partition("\n")[::2]) for part in said.split("$ ")[1:]]


def timeless(text: str) -> list[list[str]]:
    """Give the words of each line, without figures that differ from one moment to another."""
    figures = r"(?<= up )[\d.]+ s|[\d.]+ s ago|(?<=^memory   )[\d.]+|(?<=^rate     )[\d.,]+"
    return [line.split() for line in re.sub(figures, "N", text, flags=re.MULTILINE).splitlines()]


@pytest.mark.follows("docs/guides/other-destinations.md")
async def test_other_destinations(tmp_path: Path) -> None:
    first, second = (
        (GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "other-destinations")
    )
    lake, *rest = blocks(second, "toml")
    for text in rest:
        for table in tomllib.loads(text)["uplinks"].values():
            Registry().uplink(table["kind"], "guide").settings.model_validate(table)
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        (toml,), (csv,) = blocks(first, "toml"), blocks(first, "csv")
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (tmp_path / "forebay.toml").write_text(toml + lake, "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        done = await follow(shell, commands(second))
        await shell.until(
            "forebay uplinks", lambda _: ("power", 12.345) in filed(tmp_path / "lake")
        )
    assert done["forebay check"] in second
    assert "lake" in done["forebay uplinks"]


def filed(lake: Path) -> set[tuple[str, float]]:
    """Give tags and values of all whole lines in the one file that is being written."""
    (part,) = lake.glob("*.jsonl.part")
    said = (json.loads(line) for line in part.read_text("utf-8").split("\n")[:-1])
    return {(one["tag"], one["value"]) for one in said if "tag" in one}


async def follow(shell: Typist, typed: list[str]) -> dict[str, str]:
    """Type the lines; give what each command said at last, by its first two words."""
    good: dict[str, Callable[[str], object]] = {
        "forebay uplinks": lambda text: "connected" in text,
        "forebay ledger": lambda text: "balances" in text,
        "forebay-fleet query": lambda text: text.count(" Good ") == 3,
    }
    done = {}
    for line in typed:
        command = " ".join(line.split()[:2])
        if command in good:
            done[command] = await shell.until(line, good[command])
            continue
        code, done[command] = await shell.type(line)
        assert code == 0, f"{line}\n{done[command]}"
    assert knock(shell.folder / "control.sock") is Answer.LIVE
    return done


@pytest.mark.follows("docs/guides/writes.md")
async def test_write_to_a_plc(tmp_path: Path) -> None:
    guide = (GUIDES / "writes.md").read_text("utf-8")
    toml, methods = blocks(guide, "toml")
    (csv,) = blocks(guide, "csv")
    assert tomllib.loads(methods)["writes"]["allow"][0]["methods"]
    async with WritablePlc() as plc, reader(tmp_path) as shell:
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {plc.port}')
        (tmp_path / "forebay.toml").write_text(toml, "utf-8")
        (tmp_path / "press.csv").write_text(csv, "utf-8")
        done = {}
        for line in commands(guide):
            code, done[line] = await shell.type(line)
            assert code == line.endswith(" 99"), f"{line}\n{done[line]}"
            if line.startswith("forebay run"):
                await shell.until("forebay read press/Setpoint", lambda text: " Good " in text)
        assert (plc.registers[7], len(plc.writes)) == (425, 1)
    for line, text in done.items():
        if line.startswith(("forebay check", "forebay write")):
            assert f"$ {line}\n{text.splitlines()[0]}\n" in guide
    audit = done["forebay journal show --stream audit"]
    assert f"(uid:{os.getuid()}: order-4711)" in " ".join(audit.split())
    assert audit.count("GOOD") == audit.count("REFUSED") == 1


@pytest.mark.follows("docs/guides/plugins.md")
async def test_a_plugin(tmp_path: Path) -> None:
    """The guide's plugin on the meter of the first guide."""
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "plugins"))
    manifest, table, rule = blocks(guide, "toml")
    assert tomllib.loads(rule)["writes"]["allow"][0]["by"] == ["plugin:feeder"]
    folder = tmp_path / "overload"
    folder.mkdir()
    (folder / "plugin.toml").write_text(manifest, "utf-8")
    (folder / "overload.py").write_text(blocks(guide, "python")[0], "utf-8")
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        (toml,), (csv,) = blocks(first, "toml"), blocks(first, "csv")
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        fast = '[devices.meter.groups.default]\nperiod = "100 ms"\n'
        (tmp_path / "forebay.toml").write_text(toml + fast + table, "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        done: list[tuple[Shown, str]] = []
        segment = ""
        for shown in shown_by(guide):
            line = shown.line
            if line == "forebay plugins ls":
                version = re.findall(r"overload \S+", shown.out)[0]
                await shell.until(line, lambda text: f" {version}  running " in text)  # noqa: B023
            if line == "forebay read feeder/load":
                await shell.until(line, lambda text: " Good " in text)
            code, said = await shell.type(line.replace("SEGMENT", segment))
            refused = line == "forebay plugins remove overload"
            assert code == (2 if refused else 0), f"{line}\n{said}"
            if line == "forebay journal ls --stream telemetry":
                segment = said.split()[-1]
            done.append((shown, said.replace(str(tmp_path / "state"), "STATE")))
    for shown, said in done:
        if "replay" in shown.line:
            assert countless(said) == countless(shown.out)
        elif shown.line.startswith(
            ("forebay check", "forebay plugins remove", "forebay plugins i")
        ):
            assert said.split() == shown.out.split()
    last = {shown.line: said for shown, said in done}
    assert re.search(
        r"^feeder/load +82.3 +% +Good ", last["forebay read feeder/load"], re.MULTILINE
    )
    assert "feeder of 15.0 kW" in last["forebay plugins logs feeder"]
    assert "15 kW" in last["forebay plugins show feeder"]


def countless(text: str) -> str:
    """What a replay says, without how many windows there were."""
    return re.sub(r"\d+(?= windows)|(?<=stand: )\d+", "N", text.strip())


@pytest.mark.follows("docs/guides/journal.md")
async def test_questions_about_the_data_on_the_box(tmp_path: Path) -> None:
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "journal"))
    async with ModbusServer(watts) as meter, reader(tmp_path) as shell:
        (toml,), (csv,) = blocks(first, "toml"), blocks(first, "csv")
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (tmp_path / "forebay.toml").write_text(toml, "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        await set_aside(tmp_path / "state/journal")
        typed = commands(guide)
        assert len(typed) == 14
        done = {}
        for line in typed:
            code, done[line] = await shell.type(line)
            # No uplink is configured, so nobody takes what is sent again.
            assert code == line.endswith("retry --all"), f"{line}\n{done[line]}"
            if line.startswith("forebay run"):
                await shell.until("forebay read meter/power", lambda text: " Good " in text)
    said = {" ".join(line.split()[1:4]): text for line, text in done.items()}
    assert "sound: all that is there is whole" in said["journal verify"]
    assert "sound: " in done["forebay journal verify --directory state/journal"]
    assert "no enabled uplink 'cloud'" in said["journal quarantine retry"]
    assert "BadSchema: the schema is unknown" in said["journal quarantine ls"]
    assert "meter/power = 12.345 kW, Good" in done["forebay trace meter/power"]
    assert "UNCLEAN_SHUTDOWN" not in done["forebay events --since 2h"].upper()
    seen = said["journal forecast"].splitlines()
    assert f"$ forebay journal forecast\n{seen[0]}\n" in guide
    assert seen[1].split() == re.findall(r"^POOL.*$", guide, re.MULTILINE)[0].split()
    assert seen[2].startswith("telemetry  ")
    power = (tmp_path / "power.csv").read_text("utf-8").splitlines()
    assert len(power) > 1
    assert all(",meter,default,power,kW," in row and ",12.345,Good,0," in row for row in power[1:])
    assert len((tmp_path / "refused.csv").read_text("utf-8").splitlines()) == 4
    assert (tmp_path / "evidence/manifest.json").exists()


async def set_aside(journal: Path) -> None:
    """Put the record into quarantine that the guide speaks of."""
    schema = Schema("meter", "default", tuple(Tag(f"t{n}", "1", ValueType.INT16) for n in range(3)))
    times = np.array([1_795_000_000_000_000_000], np.int64)
    batch = Batch(schema, times, times + 1, (np.array([[1, 2, 3]], np.int16),))
    record = make_record(101, encode_batch([batch]), epoch=0x7_00C0_FFEE, samples=3)
    quarantine = Quarantine(journal / "quarantine", 1 << 20, system_seams(), nobody)
    await quarantine.put(
        record,
        uplink="cloud",
        code="BadSchema",
        reason="the schema is unknown",
        schema=encode_schema(schema),
    )
