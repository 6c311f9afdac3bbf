"""What differs between two configurations: no more and no less than what somebody changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config.diff import Change, changes
from forebay.config.load import load
from forebay.registry import Registry
from support.fuzz import examples

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.config.load import LoadedConfig

DEVICE = """
[devices.{0}]
protocol = "modbus"
host = "10.0.0.1"
port = {1}
tags = "{0}.csv"
[devices.{0}.groups.default]
period = "1 s"
[[devices.{0}.stages]]
kind = "deadband"
threshold = 1.0
"""
UPLINK = '[uplinks.{0}]\nkind = "mqtt"\nhost = "{1}"\nusername = "u"\npassword_file = "secret"\n'
TABLES = """
[gateway]
id = "gw"
[journal]
max_size = "1 GiB"
commit_interval = "250 ms"
[log]
level = "info"
"""


def put(folder: Path, text: str, tags: str = "n,holding:1,uint16\n", content: str = "a") -> Path:
    """Write a configuration with devices a and b, and uplink u."""
    folder.mkdir(exist_ok=True)
    for name in "abc":
        (folder / f"{name}.csv").write_text(f"name,address,type\n{tags}", encoding="utf-8")
    (folder / "secret").write_text(content, encoding="utf-8")
    (folder / "secret").chmod(0o600)
    (folder / "forebay.toml").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, state: str = "/srv/state") -> LoadedConfig:
    return load(folder / "forebay.toml", Registry(), {"FOREBAY_STATE": state})


BASE = TABLES + DEVICE.format("a", 502) + DEVICE.format("b", 502) + UPLINK.format("u", "broker")


def told(before: LoadedConfig, after: LoadedConfig) -> list[tuple[str, str, bool]]:
    return [(str(one), one.action, one.live) for one in changes(before, after)]


def test_the_same_elsewhere_is_the_same(tmp_path: Path) -> None:
    before = read(put(tmp_path / "gen-1", BASE))
    shutil.copytree(tmp_path / "gen-1", tmp_path / "gen-2")
    assert told(before, read(tmp_path / "gen-2")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('id = "gw"', 'id = "gx"', [("gateway", "change", False)]),
        ('"1 GiB"', '"2 GiB"', [("journal", "change", False)]),
        ('"250 ms"', '"100 ms"', [("journal", "change", True)]),
        ('"info"', '"debug"', [("log", "change", True)]),
        ("[gateway]", "[writes]\nenabled = true\n[gateway]", [("writes", "change", True)]),
        ("[gateway]", '[control]\nsocket = "/x"\n[gateway]', [("control", "change", False)]),
        ('"broker"', '"other"', [("uplink u", "change", True)]),
        ("[uplinks.u]", "[uplinks.v]", [("uplink u", "remove", True), ("uplink v", "add", True)]),
        ("threshold = 1.0\n\n", "threshold = 2.0\n\n", [("device a", "change", True)]),
        ("devices.a", "devices.c", [("device a", "remove", True), ("device c", "add", True)]),
    ],
)
def test_what_changed_is_told_and_nothing_else(
    tmp_path: Path, old: str, new: str, expected: list[tuple[str, str, bool]]
) -> None:
    count = -1 if old == "devices.a" else 1
    before = read(put(tmp_path / "1", BASE))
    assert old in BASE
    assert told(before, read(put(tmp_path / "2", BASE.replace(old, new, count)))) == expected


def test_a_tag_list_counts_by_its_rows_and_their_order(tmp_path: Path) -> None:
    two = "n,holding:1,uint16\nm,holding:2,uint16\n"
    before = read(put(tmp_path / "1", BASE, two))
    for tags in ("n,holding:1,uint16\n", "m,holding:2,uint16\nn,holding:1,uint16\n"):
        after = read(put(tmp_path / "2", BASE, tags))
        assert [str(change) for change in changes(before, after)] == ["device a", "device b"]
    spaced = "# a comment\n\n" + two.replace(",", " , ")
    assert changes(before, read(put(tmp_path / "2", BASE, spaced))) == ()


def test_a_password_that_is_another_one_is_a_change(tmp_path: Path) -> None:
    before = read(put(tmp_path / "1", BASE))
    after = read(put(tmp_path / "1", BASE, content="b"))
    assert changes(before, after) == (Change("uplink", "u", "change"),)
    assert "b" not in after.digests.values(), "what is kept is a digest"


def test_another_state_directory_is_another_agent(tmp_path: Path) -> None:
    before = read(put(tmp_path / "1", BASE))
    found = changes(before, read(tmp_path / "1", "/srv/other"))
    assert Change("journal", "", "change", live=False) in found


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(500, 503)),
    st.dictionaries(st.sampled_from("abc"), st.integers(500, 503)),
)
@examples(40)
def test_the_names_that_are_told_are_those_that_differ(
    tmp_path_factory: pytest.TempPathFactory, olds: dict[str, int], news: dict[str, int]
) -> None:
    folder = tmp_path_factory.getbasetemp()

    def of(ports: dict[str, int], where: str) -> LoadedConfig:
        devices = (DEVICE.format(name, port) for name, port in ports.items())
        return read(put(folder / where, TABLES + "".join(devices)))

    before, after = of(olds, "old"), of(news, "new")
    expected = {
        name: "add" if name not in olds else "remove" if name not in news else "change"
        for name in olds.keys() | news.keys()
        if olds.get(name) != news.get(name)
    }
    assert {one.name: one.action for one in changes(before, after)} == expected
    assert changes(after, replace(after)) == ()
    back = {"add": "remove", "remove": "add", "change": "change"}
    assert {one.name: back[one.action] for one in changes(after, before)} == expected
