"""`forebay browse` against a real OPC UA server, from the table to a checked tag list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto.control_pb2 import BrowseReply
from forebay.cli import taglist
from forebay.cli.browse import MAX_NAME, tag_rows
from forebay.config.taglist import MAX_TAGS, parse_csv, read_csv
from forebay.control.server import ControlServer
from forebay.drivers.opcua.config import OpcUaTag
from support.asyncua_server import NAMESPACE, small_server
from support.commands import forebay
from support.opcua import connected, device
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
    rows, left_out = tag_rows(replies)
    assert not left_out
    names = [row[0] for row in rows]
    assert len(names) == len(set(names)) == 5
    assert names[:2] == ["x", "x~2"]
    assert all(len(name) <= MAX_NAME and name.isprintable() for name in names)


def value(path: str, address: str, **more: Any) -> BrowseReply:
    return BrowseReply(path=path, address=address, kind="value", type="int32", **more)


def test_whatever_a_device_calls_its_values_the_list_is_one_that_we_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    replies = [
        value("", "ns=1;s=empty"),
        value(" \n ", "ns=1;s=blank"),
        value("#comment", "ns=1;s=#"),
        value("two\nlines", "ns=1;s=two", description="one\r\nand two", unit="u" * 40),
        value('with "quotes", and commas', 'ns=1;s=a,"b"', description="x" * 600),
        value("broken", "ns=1;s=a\nb"),
        value("also broken", "ns=1;s=a\rb"),
        value("blank end", "ns=1;s=a "),
        value("long", "ns=1;s=" + "a" * 4096),
    ]
    rows, left_out = tag_rows(replies)
    assert [len(paths) for paths in left_out.values()] == [2, 1, 1]
    taglist.write(Path("-"), ("name", "address", "type", "unit", "description"), rows)
    tags = parse_csv(capsys.readouterr().out, "tags.csv", OpcUaTag)
    assert not tags.faults
    assert [tag.address for tag in tags.tags.values()] == [one.address for one in replies[:5]]
    assert list(tags.tags)[:3] == ["ns=1;s=empty", "\N{REPLACEMENT CHARACTER}", "#comment"]


def test_no_list_is_longer_than_one_that_we_read() -> None:
    rows, left_out = tag_rows(value(f"p{n}", f"i={n}") for n in range(MAX_TAGS + 2))
    assert len(rows) == MAX_TAGS
    assert list(left_out.values()) == [[f"p{MAX_TAGS}", f"p{MAX_TAGS + 1}"]]


async def test_what_is_left_out_is_told_and_nothing_folds_in_a_pipe(tmp_path: Path) -> None:
    long = "L" * 150
    async with (
        small_server(**{"Level": 1.5, long: 2.5, "odd\nname": 3.5}) as server,
        connected(device(server.endpoint, {})) as driver,
    ):
        agent = ScriptedAgent(drivers={"press": driver})
        socket = tmp_path / "control.sock"
        async with ControlServer(socket, agent):
            shown = await forebay("browse", "press", "*", "--socket", socket)
            wrote = await forebay(
                "browse", "press", "*", "--csv", tmp_path / "tags.csv", "--socket", socket
            )
            told = await forebay("browse", "press", "*", "--csv", "-", "--socket", socket)
    line = next(line for line in shown.out.splitlines() if line.startswith(long))
    assert f"nsu={NAMESPACE};s={long}" in line.split()
    assert wrote.out == "wrote 2 tags\n"
    assert wrote.err.startswith("left out 1, with a line break in the address; the first: odd")
    assert len(told.out.splitlines()) == 3
    assert told.err == wrote.err
    assert not read_csv(tmp_path / "tags.csv", "tags.csv", OpcUaTag).faults
