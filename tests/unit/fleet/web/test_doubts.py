"""What the editor doubts: what a box would refuse, and nothing that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay_fleet.web import doubts

EXAMPLES = sorted((Path(__file__).resolve().parents[4] / "packaging/examples").iterdir())
HEAD = '[gateway]\nid = "gw-1"\n'
PRESS = '[devices.press]\nprotocol = "modbus"\nhost = "192.0.2.1"\n'
TAG = 'tags = [{ name = "a", address = "holding:0", type = "uint16" }]\n'


@pytest.mark.parametrize("folder", EXAMPLES, ids=[one.name for one in EXAMPLES])
def test_what_runs_is_not_doubted(folder: Path) -> None:
    contents = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    assert doubts.found(contents) == []


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (HEAD + PRESS.replace("modbus", "modbuss") + TAG, "devices.press.protocol", "modbuss"),
        (HEAD + PRESS + "hots = 1\n" + TAG, "devices.press", "hots"),
        (HEAD + PRESS + TAG.replace("uint16", "float"), "devices.press.tags.0.type", "float"),
        (HEAD + PRESS + TAG + "[foo]\nbar = 1\n", "the file", "foo"),
        (HEAD, "devices", "nothing is read"),
        ("", "the file", "'gateway' is a required property"),
        (HEAD.replace("gw-1", "gw-2") + PRESS + TAG, "gateway.id", "'gw-2', and this is 'gw-1'"),
        (HEAD + "[devices", "forebay.toml", "is no TOML"),
    ],
)
def test_what_a_box_would_refuse_is_doubted(text: str, path: str, said: str) -> None:
    found = doubts.found({"forebay.toml": text.encode()}, "gw-1")
    assert [one for one in found if one.path == path and said in one.message], found
    assert all(one.hint for one in found)


def test_files_are_joined_as_the_agent_joins_them() -> None:
    parts = {"forebay.toml": HEAD.encode(), "conf.d/press.toml": (PRESS + TAG).encode()}
    assert doubts.found(parts, "gw-1") == []
    odd = {**parts, "conf.d/oven.toml": b'[devices.oven]\nprotocol = "modbus"\nhost = 1\n'}
    assert {one.path for one in doubts.found(odd)} == {"devices.oven", "devices.oven.host"}
