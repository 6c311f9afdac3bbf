"""What is refused at the desk, before people sign it and a box has to refuse it."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from forebay.config.plugins import read_manifest
from forebay.errors import Fault, RequestInvalid
from forebay.pluginhost import unpack
from forebay_fleet.artifacts import judging
from forebay_fleet.errors import UsageError
from support.packages import archive

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = (
    b'[plugin]\nname = "echo"\nversion = "1"\ncommand = ["x"]\n[inputs.all]\ntags = ["press/*"]\n'
)
ABOUT = {"name": "forebay-agent", "version": "1", "python": "3.11", "machine": "x86_64"}
AGENT = json.dumps(ABOUT).encode()
LAUNCHER = {"site-packages/forebay/launcher/__init__.py": b""}


def judged(path: Path, type_: str = "plugin", name: str = "echo", version: str = "1") -> None:
    judging.judge(path, type_, name, version)


def packed(path: Path, info: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def test_what_a_box_can_take_passes(tmp_path: Path) -> None:
    judged(archive(tmp_path / "flat.tar.gz", {"plugin.toml": PLUGIN, "echo.py": b""}))
    judged(archive(tmp_path / "deep.tar.gz", {"echo/plugin.toml": PLUGIN, "echo/src/a.py": b""}))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("plugin.toml", PLUGIN)
    judged(tmp_path / "a.zip")
    judged(archive(tmp_path / "model.tar.gz", {"m.onnx": b"x"}), "model", "skab", "7")
    agent = {"agent.json": AGENT, **LAUNCHER}
    judged(archive(tmp_path / "agent.tar.gz", agent), "agent", "forebay")


@pytest.mark.parametrize(
    ("files", "type_", "why"),
    [
        ({"echo.py": b""}, "plugin", r"no plugin\.toml"),
        ({"a/b/plugin.toml": PLUGIN, "a/c": b""}, "plugin", r"no plugin\.toml"),
        ({"plugin.toml": PLUGIN.replace(b'"1"', b'"2"')}, "plugin", "echo 2, and not echo 1"),
        ({"plugin.toml": b"[plugin"}, "plugin", "names no plugin"),
        ({"plugin.toml": b"plugin = 1"}, "plugin", "names no plugin"),
        ({"plugin.toml": b"#" * (1 << 21)}, "plugin", "larger than 256 KiB"),
        ({"agent.json": AGENT}, "agent", "does not hold"),
        ({"agent.json": b"{}", **LAUNCHER}, "agent", "says no agent"),
        ({"agent.json": AGENT.replace(b'"1"', b'"2"'), **LAUNCHER}, "agent", "forebay-agent 2"),
        ({"../m": b""}, "model", "leads out"),
        ({"/etc/m": b""}, "model", "leads out"),
        ({"m" * 600: b""}, "model", "too long"),
        ({}, "model", "nothing is in it"),
        ({"agent.json": AGENT, "site-packages/forebay/launcher.py": b""}, "agent", "does not hold"),
        ({"agent.json": AGENT.replace(b"x86_64", b""), **LAUNCHER}, "agent", "machine is empty"),
    ],
)
def test_what_it_would_refuse_is_refused(
    tmp_path: Path, files: dict[str, bytes], type_: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        judged(archive(tmp_path / "a.tar.gz", files), type_)


ONE = {"plugin.toml": PLUGIN}


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (ONE, True),
        ({"echo/plugin.toml": PLUGIN, ".git/HEAD": b"x", "echo/__pycache__/a.pyc": b""}, True),
        ({**ONE, "a/.mypy_cache/" + "x" * 600: b""}, True),
        ({**ONE, "a" * 600: b""}, False),
        ({**ONE, "./plugin.toml": PLUGIN}, False),
        ({**ONE, "a": b"", "a/b": b""}, False),
        ({**ONE, "a/b": b"", "a": b""}, False),
        ({**ONE, "a\\b": b""}, False),
        ({"plugin.toml": PLUGIN.replace(b"command", b"#")}, False),
        ({"plugin.toml": PLUGIN.replace(b'["x"]', b"[]")}, False),
        ({"plugin.toml": PLUGIN.replace(b'["x"]', b'["x", 1]')}, False),
        ({"plugin.toml": PLUGIN.replace(b"[inputs", b"protocol = 2\n[inputs")}, False),
        ({"plugin.toml": PLUGIN.replace(b"inputs.all", b"window")}, False),
        ({"plugin.toml": PLUGIN + b"[more]\n"}, False),
        ({"plugin.toml": PLUGIN + b"#" * (256 << 10)}, False),
        ({"plugin.toml": PLUGIN.replace(b"echo", b"other")}, False),
        ({"plugin.toml": b"\xff" + PLUGIN}, False),
    ],
)
def test_the_desk_judges_as_the_box(
    tmp_path: Path, files: dict[str, bytes], *, taken: bool
) -> None:
    """The two share no code: what one takes the other takes, too."""
    path = archive(tmp_path / "a.tar.gz", files)
    (tmp_path / "box").mkdir()
    assert (by_box(path, tmp_path / "box"), by_desk(path)) == (taken, taken)


def by_desk(path: Path) -> bool:
    """Whether `artifacts add` takes it."""
    try:
        judged(path)
    except UsageError:
        return False
    return True


def by_box(path: Path, folder: Path) -> bool:
    """Whether a box would take it, as `management.packages` does."""
    faults: list[Fault] = []
    try:
        unpack.take(path, folder)
    except (RequestInvalid, OSError):
        return False
    manifest = read_manifest(folder, "echo", faults)
    named = manifest and (manifest.plugin.name, manifest.plugin.version)
    return named == ("echo", "1")


def test_a_zip_with_a_file_that_rotted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("plugin.toml", PLUGIN)
        made.writestr("weights", b"good weights")
    judged(path)
    path.write_bytes(path.read_bytes().replace(b"good weights", b"evil weights"))
    (tmp_path / "box").mkdir()
    assert (by_box(path, tmp_path / "box"), by_desk(path)) == (False, False)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with pytest.raises(UsageError, match="No such file"):
        judged(path)
    for data in (b"", b"#!/bin/sh\n", b"\x1f\x8bno gzip at all"):
        path.write_bytes(data)
        with pytest.raises(UsageError, match="no whole"):
            judged(path)
    whole = archive(path, {"plugin.toml": PLUGIN, "weight": bytes(1 << 20)}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="no whole"):
        judged(path)


def test_links_and_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tarfile.TarInfo("passwd")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(UsageError, match="neither a file"):
        judged(packed(tmp_path / "link.tar.gz", link))
    large = tarfile.TarInfo("zeros")
    large.size = 1 << 20
    monkeypatch.setitem(judging.MAX_SIZE_BYTES, "model", 1 << 19)
    with pytest.raises(UsageError, match="larger than 0 MiB"):
        judged(packed(tmp_path / "large.tar.gz", large), "model")
    monkeypatch.setitem(judging.MAX_FILES, "model", 1)
    many = archive(tmp_path / "many.tar.gz", {"a": b"", "b": b""})
    with pytest.raises(UsageError, match="more than 1 files"):
        judged(many, "model")
