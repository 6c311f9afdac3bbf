"""`forebay check` and the checks of `forebay run`, on real files with the installed adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.commands import forebay

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[gateway]
id = "press-hall-1"

[devices.press]
protocol = "modbus"
host = "192.0.2.10"
tags = "press.csv"
"""
TAGS = """name,address,type,unit
pressure,holding:100,float32,bar
strokes,holding:102,uint32,
"""
BAD = """
[gateway]
id = 3

[devices.press]
protocol = "modbs"

[journl]
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "forebay.toml"
    path.write_text(GOOD)
    (tmp_path / "press.csv").write_text(TAGS)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    return path


async def test_a_good_one(good: Path) -> None:
    done = await forebay("check", good)
    assert done == (0, "ok: 1 device, 2 tags, 0 uplinks\n", "")
    done = await forebay("check", good, "--json")
    assert (done.code, done.document(), done.err) == (0, {"ok": True, "faults": []}, "")


IDLE = """
[gateway]
id = "press-hall-1"
"""
DISABLED = """
[uplinks.cloud]
kind = "grpc"
enabled = false
address = "fleet.example.org:7443"
ca = "ca.crt"
cert = "press-hall-1.crt"
key = "press-hall-1.key"
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (IDLE, "ok: nothing is configured to be read"),
        (
            GOOD.replace("[devices.press]", "[devices.press]\nenabled = false"),
            "ok: nothing is configured to be read (1 device disabled)",
        ),
        (GOOD + DISABLED, "ok: 1 device, 2 tags, 0 uplinks (1 uplink disabled)"),
    ],
)
async def test_what_is_not_enabled_does_not_count(good: Path, text: str, line: str) -> None:
    good.write_text(text)  # noqa: ASYNC240 - nothing else runs
    assert await forebay("check", good) == (0, f"{line}\n", "")


async def test_a_journal_larger_than_the_disk_is_told_and_no_fault(good: Path) -> None:
    good.write_text(GOOD + '[journal]\nmax_size = "16 TiB"\n')  # noqa: ASYNC240 - as above
    done = await forebay("check", good)
    note, line = done.out.splitlines()
    assert note.startswith("journal.max_size: here is room for ")
    assert (done.code, line) == (0, "ok: 1 device, 2 tags, 0 uplinks")
    told = (await forebay("check", good, "--json")).document()
    assert (told["ok"], [fault["path"] for fault in told["faults"]]) == (True, ["journal.max_size"])


FIRST_STEP = """
[gateway]
id = "press-hall-1"

[devices.press]
protocol = "opcua"
endpoint = "opc.tcp://192.0.2.20:4840"
"""


async def test_what_only_a_running_gateway_finds_is_told_and_no_fault(good: Path) -> None:
    """A file that is named is another matter: whoever names it means that it is there."""
    good.write_text(FIRST_STEP)  # noqa: ASYNC240 - as above
    done = await forebay("check", good)
    note, line = done.out.splitlines()
    assert note.startswith("devices.press.server_certificate: is not given")
    assert (done.code, line) == (0, "ok: 1 device, 0 tags, 0 uplinks")
    assert (await forebay("check", good, "--json")).document()["ok"]
    good.write_text(f'{FIRST_STEP}server_certificate = "server.der"\n')  # noqa: ASYNC240 - as above
    done = await forebay("check", good)
    assert (done.code, "server.der does not exist (" in done.out) == (2, True)


async def test_every_fault_has_a_line(bad: Path) -> None:
    done = await forebay("check", bad)
    assert (done.code, done.err) == (2, "")
    lines = done.out.splitlines()
    assert {line.partition(": ")[0] for line in lines} == {
        "gateway.id",
        "devices.press.protocol",
        "journl",
    }
    assert all(line.endswith(")") and " (" in line for line in lines)


async def test_faults_as_json(bad: Path) -> None:
    done = await forebay("check", bad, "--json")
    lines = (await forebay("check", bad)).out.splitlines()
    document = done.document()
    assert (done.code, document["ok"]) == (2, False)
    assert [f"{f['path']}: {f['message']} ({f['hint']})" for f in document["faults"]] == lines


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = await forebay("check", tmp_path / "none.toml")
    assert done.code == 2
    assert done.out.startswith(f"{tmp_path}/none.toml: does not exist (")


async def test_a_fault_cannot_paint_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.toml"
    path.write_text('[gateway]\nid = "a"\n["\\u001b[31m"]\n')
    done = await forebay("check", path)
    assert done.code == 2
    assert "\x1b" not in done.out


async def test_run_refuses_and_touches_nothing(bad: Path, tmp_path: Path) -> None:
    state, socket = tmp_path / "state", tmp_path / "control.sock"
    done = await forebay(
        "run", "--config", bad, FOREBAY_STATE=str(state), FOREBAY_SOCKET=str(socket)
    )
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 4
    assert f"next: mend it, then `forebay check {bad}`" in done.err
    assert names(tmp_path) == ["bad.toml"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
