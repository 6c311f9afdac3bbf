"""Loading: what the environment and several files add, which defaults the loader fills in."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config.load import LoadedConfig, load
from forebay.errors import ConfigError, Fault
from support.fake_adapters import FakeDevice, FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = '[gateway]\nid = "gw"\n'
DEVICE = '[devices.plc]\nprotocol = "fake"\nhost = "plc"\ntags = "plc.csv"\n'
CSV = "name,address,type,group\na,1,int16,\n"


def loaded(
    folder: Path, toml: str, csv: str = CSV, environ: Mapping[str, str] | None = None
) -> LoadedConfig:
    (folder / "forebay.toml").write_text(toml, encoding="utf-8")
    (folder / "plc.csv").write_text(csv, encoding="utf-8")
    return load(folder / "forebay.toml", FakeRegistry(), environ or {})


def lines(folder: Path, toml: str, csv: str = CSV) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, toml, csv)
    return [str(fault) for fault in caught.value.faults]


def test_the_defaults_of_the_machine(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD)
    assert config.state == Path("/var/lib/forebay")
    assert config.config.journal.directory == Path("/var/lib/forebay/journal")
    assert config.config.control.socket == Path("/run/forebay/control.sock")


def test_the_environment_moves_state_and_socket(tmp_path: Path) -> None:
    environ = {"FOREBAY_STATE": "/srv/a", "FOREBAY_SOCKET": "/srv/a.sock"}
    toml = HEAD + '[control]\nsocket = "/run/other.sock"\n'
    config = loaded(tmp_path, toml, environ=environ)
    assert config.state == Path("/srv/a")
    assert config.config.journal.directory == Path("/srv/a/journal")
    assert config.config.control.socket == Path("/srv/a.sock")


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD, environ={"FOREBAY_STATE": "", "FOREBAY_SOCKET": ""})
    assert config.state == Path("/var/lib/forebay")


def test_a_journal_that_is_named_stays_there(tmp_path: Path) -> None:
    toml = HEAD + '[journal]\ndirectory = "ring"\n'
    config = loaded(tmp_path, toml, environ={"FOREBAY_STATE": "/srv/a"})
    assert config.config.journal.directory == tmp_path / "ring"


def test_relative_paths_begin_at_the_main_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x", encoding="utf-8")
    secret.chmod(0o600)
    fragment = tmp_path / "conf.d/10.toml"
    fragment.parent.mkdir()
    fragment.write_text('[devices.plc.login]\npassword_file = "password"\n', encoding="utf-8")
    (device,) = loaded(tmp_path, HEAD + DEVICE).devices
    settings = device.spec.settings
    assert isinstance(settings, FakeDevice)
    assert settings.tags == tmp_path / "plc.csv"
    assert settings.login.password_file == secret


@pytest.mark.parametrize(
    ("protocol", "modes"),
    [("fake", ["poll", "subscribe", "poll"]), ("pushy", ["subscribe"] * 3)],
)
def test_the_usual_mode_is_one_that_the_driver_offers(
    tmp_path: Path, protocol: str, modes: list[str]
) -> None:
    toml = HEAD + DEVICE.replace("fake", protocol)
    toml += '[devices.plc.groups]\nslow = { period = "1 min" }\nalarm = { mode = "subscribe" }\n'
    csv = "name,address,type,group\na,1,bool,slow\nb,2,bool,alarm\nc,3,bool,\n"
    (device,) = loaded(tmp_path, toml, csv).devices
    groups = device.spec.settings.groups
    assert [(name, groups[name].mode) for name in ("slow", "alarm", "default")] == list(
        zip(("slow", "alarm", "default"), modes, strict=True)
    )
    assert groups["slow"].period == 60
    assert [schema.group for schema in device.spec.schemas] == ["slow", "alarm", "default"]


def test_a_mode_that_was_asked_for_must_be_offered(tmp_path: Path) -> None:
    toml = HEAD + DEVICE.replace("fake", "pushy") + '[devices.plc.groups]\nx = { mode = "poll" }\n'
    assert lines(tmp_path, toml) == [
        'devices.plc.groups.x.mode: pushy cannot poll (write mode = "subscribe", or leave it out)'
    ]


def test_stages_and_uplinks_are_decoded_by_their_adapters(tmp_path: Path) -> None:
    toml = HEAD + DEVICE + 'stages = [{ kind = "fake", size = 3 }]\n[uplinks.up]\nkind = "fake"\n'
    config = loaded(tmp_path, toml)
    (stage,) = config.devices[0].stages
    assert stage.settings.model_dump() == {"kind": "fake", "size": 3}
    assert [(name, spec.kind) for name, spec, _ in config.uplinks] == [("up", "fake")]


def test_faults_of_all_parts_come_at_once(tmp_path: Path) -> None:
    toml = DEVICE + 'stages = [{ kind = "fake", size = -1 }]\nport = 0\n[uplinks.up]\nkind = "x"\n'
    assert [line.partition(": ")[0] for line in lines(tmp_path, toml, CSV + "a,2,int16,\n")] == [
        "gateway.id",
        "devices.plc.port",
        "plc.csv:3 name",
        "devices.plc.stages[0].size",
        "uplinks.up.kind",
    ]


def test_nothing_is_written(tmp_path: Path) -> None:
    environ = {"FOREBAY_STATE": str(tmp_path / "state"), "FOREBAY_SOCKET": str(tmp_path / "s")}
    loaded(tmp_path, HEAD + DEVICE, environ=environ)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forebay.toml", "plc.csv"]


@pytest.mark.parametrize("tags", ['""', '" "', "[]"])
def test_a_device_without_tags_is_a_fault(tmp_path: Path, tags: str) -> None:
    (line,) = lines(tmp_path, HEAD + DEVICE.replace('"plc.csv"', tags))
    assert line.startswith("devices.plc.tags: ")


def test_more_stages_than_allowed(tmp_path: Path) -> None:
    stages = ", ".join(['{ kind = "fake" }'] * 17)
    assert lines(tmp_path, f"{HEAD}{DEVICE}stages = [{stages}]\n") == [
        "devices.plc.stages: has more than 16 stages (remove some)"
    ]


def test_a_name_that_would_move_the_cursor_is_quoted(tmp_path: Path) -> None:
    toml = HEAD + DEVICE.replace("plc.csv", "\\u001b[2Jplc.csv")
    assert lines(tmp_path, toml) == [
        r'devices.plc.tags: "\x1b[2Jplc.csv" does not exist (create it, or correct the path)'
    ]


def test_a_file_of_another_user_is_a_fault() -> None:
    """As root the test becomes another user for a moment, because root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "forebay.toml").write_text(HEAD + DEVICE, encoding="utf-8")
        (folder / "plc.csv").write_text(CSV, encoding="utf-8")
        (folder / "plc.csv").chmod(0)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65_534)
        try:
            with pytest.raises(ConfigError) as caught:
                load(folder / "forebay.toml", FakeRegistry(), {})
        finally:
            os.seteuid(me)
    assert [str(fault) for fault in caught.value.faults] == [
        (
            "devices.plc.tags: plc.csv cannot be read by this user"
            " (give the user that runs forebay the right to read it)"
        )
    ]


@pytest.mark.parametrize("field", ["password_file", "trusted"])
def test_a_private_key_must_not_be_open_to_all(tmp_path: Path, field: str) -> None:
    key = tmp_path / "plc.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\n", encoding="utf-8")
    table = (
        'trusted = ["plc.pem"]' if field == "trusted" else 'login = { password_file = "plc.pem" }'
    )
    toml = f"{HEAD}{DEVICE}{table}\n"
    key.chmod(0o640)
    loaded(tmp_path, toml)
    key.chmod(0o604)
    place = "trusted" if field == "trusted" else "login.password_file"
    assert lines(tmp_path, toml) == [
        (
            f"devices.plc.{place}: plc.pem can be read by every user of this machine"
            " (chmod 600 plc.pem)"
        )
    ]
    assert stat.S_IMODE(key.stat().st_mode) == 0o604


@given(toml=st.binary(max_size=200), csv=st.binary(max_size=200), head=st.booleans())
def test_any_bytes_give_a_configuration_or_faults(toml: bytes, csv: bytes, *, head: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "forebay.toml").write_bytes((HEAD + DEVICE).encode() * head + toml)
        (folder / "plc.csv").write_bytes(b"name,address,type\n" * head + csv)
        found: tuple[Fault, ...] = ()
        try:
            load(folder / "forebay.toml", FakeRegistry(), {})
        except ConfigError as error:
            found = error.faults
        assert all(str(fault).isprintable() for fault in found)
