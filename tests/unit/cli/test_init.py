"""`forebay init`: what it writes runs, and what somebody wrote stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from forebay.cli import init, main
from forebay.cli.check import load

if TYPE_CHECKING:
    from pathlib import Path

PRESS = "name,address,type,unit\npressure,holding:0,float32,bar\nrunning,coil:1,bool,\n"
PLANT = """\
Device;device.host;device.unit;device.endpoint;name;address;type;scale
press;192.0.2.10;3;;pressure;holding:0;float32;
press;;;;strokes;holding:2;uint32;
oven;;;opc.tcp://192.0.2.11:4840;temperature;ns=2;s=Oven.T;double;0.1
"""


def run(*words: object, given: str | None = None) -> Result:
    return CliRunner().invoke(main.build(["init"]), ["init", *map(str, words)], input=given)


def test_a_tag_list_becomes_a_configuration_that_runs(tmp_path: Path) -> None:
    (tmp_path / "press.csv").write_text(PRESS, "utf-8")
    path = tmp_path / "box/forebay.toml"
    done = run(
        *(path, "--from", tmp_path / "press.csv", "--gateway", "gw-1", "--host", "192.0.2.20"),
        *("--set", "unit=3", "--cloud", "fleet.example.org"),
    )
    assert done.exit_code == 0, done.output
    assert "ok: 1 device, 2 tags, 1 uplink" in done.output
    loaded = load(path)
    (device,) = loaded.devices
    settings = device.spec.settings
    assert (device.spec.name, settings.protocol) == ("press", "modbus")
    assert (getattr(settings, "host", ""), getattr(settings, "unit", 0)) == ("192.0.2.20", 3)
    assert loaded.config.gateway.id == "gw-1"
    assert 'address = "fleet.example.org:7443"' in path.read_text("utf-8")
    assert path.stat().st_mode & 0o777 == 0o640


def test_one_list_may_have_many_devices(tmp_path: Path) -> None:
    text = PLANT.replace("ns=2;s=Oven.T", '"ns=2;s=Oven.T"').replace("double", "float64")
    (tmp_path / "plant.csv").write_text(text, "utf-8")
    path = tmp_path / "forebay.toml"
    done = run(path, "--from", tmp_path / "plant.csv", "--gateway", "gw-1", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["summary"] == "ok: 2 devices, 3 tags, 0 uplinks"
    assert [one.rpartition("/")[2] for one in said["files"]] == [
        "forebay.toml",
        "press.csv",
        "oven.csv",
    ]
    found = {one.spec.name: one.spec.settings.protocol for one in load(path).devices}
    assert found == {"press": "modbus", "oven": "opcua"}


def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(init._Ask):  # noqa: SLF001 - a runner's input is no terminal
        def __init__(self, *, asks: bool) -> None:
            assert not asks
            super().__init__(asks=True)

    monkeypatch.setattr(init, "_Ask", Terminal)
    path = tmp_path / "forebay.toml"
    answers = ["", "press", "modbus", "pressure", "holding:0", "", "192.0.2.20", ""]
    done = run(path, given="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert "ok: 1 device, 1 tag, 0 uplinks" in done.output
    assert "next     start the service" in done.output
    (device,) = load(path).devices
    assert [tag.type.value for schema in device.spec.schemas for tag in schema.tags] == ["float32"]


def test_without_a_terminal_it_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "press.csv").write_text(PRESS, "utf-8")
    path = tmp_path / "forebay.toml"
    done = run(path, "--from", tmp_path / "press.csv")
    assert (done.exit_code, "give --host" in done.output) == (2, True)
    assert run(path).exit_code == 2
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PRESS.replace("holding:0", "nowhere:0"), "give --protocol"),
        (PRESS.replace("float32", "float"), "give --protocol"),
        ("name,address,type\n", "has no tags"),
        ('name,address,type\n"a,holding:0,bool\n', "not closed"),
        ("device,name,address,type\n../x,a,holding:0,bool\n", "cannot be a name"),
        (
            "device.host,name,address,type\n192.0.2.1,a,holding:0,bool\n192.0.2.2,b,holding:1,bool\n",
            "has '192.0.2.1' already",
        ),
    ],
)
def test_what_could_not_run_is_not_written(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "press.csv").write_text(text, "utf-8")
    path = tmp_path / "box/forebay.toml"
    done = run(path, "--from", tmp_path / "press.csv", "--gateway", "gw-1")
    assert (done.exit_code, why in done.output) == (2, True), done.output
    done = run(path, "--from", tmp_path / "press.csv", "--protocol", "modbus", "--host", "a b")
    assert done.exit_code == 2
    assert not path.parent.exists()


def test_what_somebody_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "press.csv").write_text(PRESS, "utf-8")
    path = tmp_path / "box/forebay.toml"
    path.parent.mkdir()
    words = (path, "--from", tmp_path / "press.csv", "--host", "192.0.2.20")
    path.write_text("# as it was installed\n[log]\nlevel = 'info'\n", "utf-8")
    assert run(*words).exit_code == 0, "it configured nothing"
    again = run(*words)
    assert (again.exit_code, "configures something" in again.output) == (2, True)
    assert run(*words, "--force").exit_code == 0
    path.unlink()
    assert run(*words).exit_code == 0, "the list says the same"
    path.unlink()
    (path.parent / "press.csv").write_text(PRESS + "more,holding:9,bool,\n", "utf-8")
    other = run(*words)
    assert (other.exit_code, "written over" in other.output) == (2, True)
    path.write_text("no [toml", "utf-8")
    assert run(*words).exit_code == 2
