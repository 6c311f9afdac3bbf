"""The shipped examples and the guide: they work as they are, and stay what they say they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay.config.load import load
from forebay.errors import ConfigError
from forebay.registry import Registry
from forebay_fleet.certificates import init, issue_gateway

if TYPE_CHECKING:
    from forebay.config.load import LoadedConfig

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "packaging/examples"
PROTOCOLS = [
    ("energy-meter", {"modbus"}),
    ("opcua-machine", {"opcua"}),
    ("mixed-line", {"modbus", "opcua", "mqtt"}),
]


def loaded(folder: Path) -> LoadedConfig:
    return load(folder / "forebay.toml", Registry(), {})


def test_all_examples_are_known() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {name for name, _ in PROTOCOLS}


@pytest.mark.parametrize(("name", "protocols"), PROTOCOLS)
def test_an_example_is_valid_as_it_lies(name: str, protocols: set[str]) -> None:
    config = loaded(EXAMPLES / name)
    assert {device.spec.settings.protocol for device in config.devices} == protocols
    assert all(device.spec.settings.enabled for device in config.devices)


@pytest.mark.parametrize(("name", "protocols"), PROTOCOLS)
def test_an_enabled_uplink_lacks_nothing_but_its_files(
    name: str, protocols: set[str], tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    file = folder / "forebay.toml"
    text = file.read_text("utf-8").replace("enabled = false", "enabled = true")
    file.write_text(text.replace("/etc/forebay/", ""), "utf-8")
    with pytest.raises(ConfigError) as caught:
        loaded(folder)
    assert [fault.path for fault in caught.value.faults] == [
        f"uplinks.cloud.{field}" for field in ("ca", "cert", "key")
    ]
    gateway = re.findall(r'^id = "(.*)"$', text, re.MULTILINE)[0]
    init(folder / "tls", "throw-away CA")
    issue_gateway(folder / "tls", folder / "tls", gateway, 1)
    ((_, _, settings),) = loaded(folder).uplinks
    assert settings.enabled


def test_the_guide_shows_a_valid_configuration(tmp_path: Path) -> None:
    guide = (ROOT / "docs/guides/first-plc.md").read_text("utf-8")
    for kind, name in (("toml", "forebay.toml"), ("csv", "meter.csv")):
        (block,) = re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL)
        (tmp_path / name).write_text(block, "utf-8")
    (device,) = loaded(tmp_path).devices
    assert len(device.spec.tags) == 3


def test_the_guide_quotes_what_check_says(tmp_path: Path) -> None:
    guide = (ROOT / "docs/guides/first-plc.md").read_text("utf-8")
    toml = '[gateway]\nid = "a"\n[devices.meter]\nprotocol = "modbus"\nhost = "h"\nprot = 1\n'
    (tmp_path / "forebay.toml").write_text(toml + 'tags = "meter.csv"\n', "utf-8")
    csv = "name,address,type\na,input:0,int16\nb,input:2,float\n"
    (tmp_path / "meter.csv").write_text(csv, "utf-8")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path)
    for fault in caught.value.faults:
        assert f"\n{fault}\n" in guide
