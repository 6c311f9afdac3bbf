"""`forebay browse` against a real OPC UA server, from the table to a checked tag list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay._proto.control_pb2 import BrowseReply
from forebay.cli.browse import MAX_NAME, tag_rows
from forebay.config.taglist import read_csv
from forebay.control.server import ControlServer
from forebay.drivers.opcua.config import OpcUaTag
from support.asyncua_server import NAMESPACE, small_server
from support.commands import forebay
from support.opcua import connected, device
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """The socket of an agent that is connected to a server with some values."""
    values = {"Level": 1.5, "Many": [1.5, 2.5], "Text": "x"}
    async with small_server(**values) as server, connected(device(server.endpoint, {})) as driver:
        agent = ScriptedAgent(drivers={"press": driver, "plain": object()})  # type: ignore[dict-item]
        socket = tmp_path / "control.sock"
        async with ControlServer(socket, agent):
            yield socket


async def test_a_table_a_document_and_a_tag_list(path: Path, tmp_path: Path) -> None:
    shown = await forebay("browse", "press", "[LM][ae]*", "--socket", path)
    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[:3] for line in shown.out.splitlines() if "Level" in line] == [
        ["Level", "value", "float64"]
    ]
    told = await forebay("browse", "press", "[LM][ae]*", "--json", "--socket", path)
    rows = {row["path"]: row for row in told.document()["found"]}
    assert set(rows) == {"Level", "Many", "Many[0]", "Many[1]"}
    assert rows["Many"]["type"] == ""
    listed = tmp_path / "tags.csv"
    wrote = await forebay("browse", "press", "*", "--csv", listed, "--socket", path)
    assert (wrote.code, wrote.out) == (0, "wrote 4 tags\n")
    tags = read_csv(listed, "tags.csv", OpcUaTag)
    assert not tags.faults
    assert {name: (tag.address, tag.type.value) for name, tag in tags.tags.items()} == {
        "Level": (f"nsu={NAMESPACE};s=Level", "float64"),
        "Many[0]": (f"nsu={NAMESPACE};s=Many;at=[0]", "float64"),
        "Many[1]": (f"nsu={NAMESPACE};s=Many;at=[1]", "float64"),
        "Text": (f"nsu={NAMESPACE};s=Text", "string"),
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("press", "a/" * 65), 1, "64 parts"),
        (("press", "a" * 2000), 2, "shorten the pattern"),
        (("plain",), 2, "forebay scan"),
        (("nobody",), 1, "wait until it is"),
        (("press", "*", "--csv", "/nowhere/tags.csv"), 1, "cannot write"),
    ],
)
async def test_what_cannot_be_is_said_with_the_next_step(
    path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = await forebay("browse", *arguments, "--socket", path)
    assert done.code == code
    assert words in done.err


async def test_a_pattern_that_nothing_matches(path: Path) -> None:
    done = await forebay("browse", "press", "Nope", "--socket", path)
    assert (done.code, "**" in done.out) == (0, True)


def test_names_are_paths_that_fit_and_come_once() -> None:
    long = "a/" * 100
    replies = [
        BrowseReply(path=path, address=f"i={n}", kind="value", type="int32")
        for n, path in enumerate(["x", "x", long, long, "y\x1b"])
    ]
    replies += [BrowseReply(path="p", kind="property", type="int32"), BrowseReply(path="v")]
    names = [row[0] for row in tag_rows(replies)]
    assert len(names) == len(set(names)) == 5
    assert names[:2] == ["x", "x~2"]
    assert all(len(name) <= MAX_NAME and name.isprintable() for name in names)
