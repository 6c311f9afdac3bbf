"""What is said of a plugin's table before anything runs."""

from __future__ import annotations

from pathlib import Path

from forebay.config.load import load
from forebay.drivers.folder.chunks import schema
from forebay.drivers.folder.config import BRINGS
from forebay.registry import Registry

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
CONFIG = """
[gateway]
id = "line-1"
[devices.camera]
protocol = "folder"
directory = "pictures"
[plugins.look]
path = "{plugins}/vision"
inputs.places = ["camera/offset", "camera/{last}"]
"""


def told(directory: Path, last: str) -> list[str]:
    (directory / "pictures").mkdir(exist_ok=True)
    path = directory / "forebay.toml"
    path.write_text(CONFIG.format(plugins=PLUGINS, last=last), encoding="utf-8")
    environ = {"FOREBAY_STATE": str(directory / "state")}
    return [str(fault.message) for fault in load(path, Registry(), environ).warnings]


def test_what_a_folder_brings_of_each_file_fits_patterns(tmp_path: Path) -> None:
    assert told(tmp_path, "total") == []
    assert told(tmp_path, "size") == ["'camera/size' fits no tag"]


def test_the_folder_says_what_it_brings() -> None:
    assert {tag.name for tag in schema("camera").tags} == BRINGS
