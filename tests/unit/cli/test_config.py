"""`forebay config` on a rollout of set words, over a real control socket."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.config.attempts import Phase
from forebay.config.bundle import MAIN, MAX_BYTES
from forebay.control.server import ControlServer
from forebay.errors import RequestFailed
from support.commands import forebay
from support.scripted_agent import ScriptedAgent
from support.scripted_rolling import DONE, RUNNING, ScriptedRolling

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


async def test_what_runs_is_shown_without_what_is_secret(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent(config=ScriptedRolling())):
        shown = await forebay("config", "show", "--socket", path)
        document = (await forebay("config", "show", "--socket", path, "--json")).document()
        desired = await forebay("config", "show", "--desired", "--socket", path)
        glance = (await forebay("status", "--socket", path)).out
    assert "generation 3 (abababababab, fleet) runs, on trial for 1 min 1 s more" in shown.out
    assert "left out: press.csv:7: address is wrong" in shown.out
    assert 'password = "***"' in shown.out
    assert ("hush" in shown.out, "PRIVATE" in shown.out) == (False, False)
    texts = {one["path"]: one["text"] for one in document["files"]}
    assert (texts["key.pem"], len(texts["big.csv"])) == (None, 800_000)
    assert document["last_attempt"]["phase"] == "committed"
    assert (desired.code, "it is not here" in desired.err) == (1, True)
    assert "generation 3 (fleet) of the configuration runs on trial" in glance
    assert "/etc/forebay/forebay.toml is not what runs" in glance


async def test_a_file_is_held_against_what_runs(path: Path, tmp_path: Path) -> None:
    main = tmp_path / "next.toml"
    main.write_bytes(RUNNING.replace(b"gw-1", b"gw-2").replace(b"hush", b"other"))
    (tmp_path / "conf.d").mkdir()
    async with ControlServer(path, ScriptedAgent(config=ScriptedRolling())):
        shown = await forebay("config", "diff", main, "--socket", path)
        missing = await forebay("config", "diff", tmp_path / "none.toml", "--socket", path)
    assert (shown.code, missing.code) == (1, 2)
    assert '-id = "gw-1"\n+id = "gw-2"' in shown.out
    assert "key.pem: its content differs" in shown.out
    assert ("hush" in shown.out, "other" in shown.out) == (False, False)


@pytest.mark.parametrize(
    ("phase", "code"),
    [(Phase.COMMITTED, 0), (Phase.ROLLED_BACK, 1), (Phase.SUPERSEDED, 1), (Phase.FAILED, 2)],
)
async def test_the_exit_code_says_what_became_of_it(
    path: Path, tmp_path: Path, phase: Phase, code: int
) -> None:
    main = tmp_path / "next.toml"
    main.write_bytes(b'tags = "press.csv"\n')
    (tmp_path / "press.csv").write_bytes(b"x," * 300_000)
    rolling = ScriptedRolling(replace(DONE, phase=phase, error="because", hint="do that"))
    async with ControlServer(path, ScriptedAgent(config=rolling)):
        done = await forebay("config", "apply", main, "--reason", "why", "--socket", path)
        listed = await forebay("config", "history", "--socket", path)
    ((offer, found),) = rolling.offered
    assert (done.code, phase.value.replace("_", " ") in done.out) == (code, True)
    assert "because" in done.out
    assert found == {MAIN: main.read_bytes(), "press.csv": b"x," * 300_000}
    assert offer.source == "local"
    assert offer.who.startswith("uid:")
    assert offer.reason == "why"
    assert next(file.sha256 for file in offer.files) == hashlib.sha256(main.read_bytes()).digest()
    assert phase.value in listed.out


async def test_nothing_to_go_back_to_is_said(path: Path) -> None:
    rolling = ScriptedRolling(fault=RequestFailed("there is nothing", hint="see there"))
    async with ControlServer(path, ScriptedAgent(config=rolling)):
        done = await forebay("config", "rollback", "--socket", path)
    assert (done.code, "there is nothing" in done.err) == (1, True)


async def test_an_agent_without_a_rollout_says_so(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("config", "history", "--socket", path, "--json")
    assert (done.code, "one configuration only" in done.document()["error"]["message"]) == (1, True)


async def test_too_much_is_refused_before_it_is_sent(path: Path, tmp_path: Path) -> None:
    main = tmp_path / "next.toml"
    names = [f"t{n}.csv" for n in range(3)]
    for name in names:
        with (tmp_path / name).open("wb") as file:
            file.truncate(MAX_BYTES // 3 + 1)
    main.write_text("\n".join(f'k{n} = "{name}"' for n, name in enumerate(names)), "utf-8")
    rolling = ScriptedRolling()
    async with ControlServer(path, ScriptedAgent(config=rolling)):
        done = await forebay("config", "apply", main, "--socket", path)
    assert (done.code, rolling.offered) == (2, [])
    assert "64 MiB" in done.err
