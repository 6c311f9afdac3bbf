"""`forebay write` and `forebay call` against a real control server: what is sent, what is said."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import control_pb2 as pb
from forebay.cli.write import parsed
from forebay.control.operating import value_message, value_of
from forebay.control.server import ControlServer
from forebay.errors import RequestInvalid
from forebay.writing.rules import Action, Ask
from support.commands import forebay
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_a_write_is_asked_for_as_it_was_typed(path: Path) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent):
        done = await forebay(
            "write", "press/Temp/set", "-42.5", "--reason", "shift change", "--id", "w7",
            "--deadline", "2.5", "--socket", path,
        )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == "GOOD press/Temp/set reads -42.5\nid w1, 3.2 ms\n"
    who = f"uid:{os.getuid()}"
    wanted = Ask(Action.WRITE, "press", "Temp/set", (-42.5,), "w7", who, "shift change")
    assert agent.gate.asked == [(wanted, 2.5)]


@pytest.mark.parametrize(
    ("item", "says", "hint"),
    [
        ("limit", "REFUSED press/limit: 99 is above what is allowed", "at most 80"),
        ("doubt", "UNKNOWN press/doubt: no answer in time", "look at the device"),
    ],
)
async def test_what_was_not_done_is_a_failure(path: Path, item: str, says: str, hint: str) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("write", f"press/{item}", "99", "--socket", path)
    assert done.code == 1
    assert done.out.startswith(says)
    assert done.err == f"  next: {hint}\n"


async def test_what_names_nothing_is_invalid_input(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("write", "press/nothing", "1", "--socket", path)
        huge = await forebay("write", "press/a", "1e999", "--socket", path)
    assert (done.code, huge.code) == (2, 2)
    assert "no device holds the number 1e999" in huge.err


async def test_where_no_answer_comes_the_id_is_told(path: Path) -> None:
    agent = ScriptedAgent()

    async def hang(ask: Ask, deadline_s: float = 0.0) -> Any:
        del ask, deadline_s
        stopping.set()
        await asyncio.Event().wait()

    stopping = asyncio.Event()
    agent.gate.ask = hang  # type: ignore[method-assign]
    async with ControlServer(path, agent):
        asking = asyncio.create_task(
            forebay("write", "press/a", "1", "--id", "w7", "--socket", path), name="ask"
        )
        await stopping.wait()
    done = await asking
    assert done.code == 3
    assert "ask again with --id w7" in done.err


async def test_an_id_is_made_where_none_is_given(path: Path) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent):
        for _ in range(2):
            await forebay("write", "press/a", "1", "--socket", path)
    assert len({ask.id for ask, _ in agent.gate.asked} - {""}) == 2


async def test_the_document_says_all(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        good = await forebay("write", "press/a", "true", "--json", "--socket", path)
        doubt = await forebay("write", "press/doubt", "1", "--json", "--socket", path)
        call = await forebay("call", "press", "Start", "7", "--json", "--socket", path)
    assert good.document() == {
        "id": "w1", "outcome": "good", "detail": "", "hint": "", "read_back": True, "outputs": [],
        "took_ms": 3.25,
    }  # fmt: skip
    assert (doubt.code, doubt.document()["outcome"], doubt.document()["read_back"]) == (
        1,
        "unknown",
        None,
    )
    assert (call.code, call.document()["outputs"]) == (0, [7, "done"])


async def test_a_call_takes_its_arguments_as_values(path: Path) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent):
        done = await forebay(
            "call", "press", "ns=2;s=Start", "7", "-1.5", "red", "true", "--socket", path
        )
        plain = await forebay("call", "press", "Stop", "--text", "7", "--socket", path)
    assert (done.code, plain.code) == (0, 0)
    assert done.out == "GOOD press/ns=2;s=Start 7 done\nid w1, 12.5 ms\n"
    assert [ask.values for ask, _ in agent.gate.asked] == [(7, -1.5, "red", True), ("7",)]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("yes", "yes"),
        ("1", 1),
        ("-0", 0),
        ("+5", 5),
        ("0.1", 0.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("9223372036854775807", (1 << 63) - 1),
        ("18446744073709551615", (1 << 64) - 1),
        ("-9223372036854775808", -(1 << 63)),
        ("0x10", "0x10"),
        ("1,5", "1,5"),
        ("", ""),
        ("nan", "nan"),
        ("12 bar", "12 bar"),
    ],
)
def test_a_word_is_one_value(word: str, value: Any) -> None:
    found = value_of(parsed(word))
    assert (found, type(found)) == (value, type(value))
    assert value_of(value_message(value)) == value
    assert value_of(parsed(word, text=True)) == word


@pytest.mark.parametrize("word", ["18446744073709551616", "-9223372036854775809", "1e400"])
def test_a_number_that_no_device_holds(word: str) -> None:
    with pytest.raises(RequestInvalid):
        parsed(word)


def test_no_value_is_no_request() -> None:
    with pytest.raises(RequestInvalid):
        value_of(pb.Value())
