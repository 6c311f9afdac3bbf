"""`forebay plugins` as a person runs it: against a control server, and on a directory."""

from __future__ import annotations

import asyncio
import signal
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import control_pb2 as pb
from forebay.control.server import ControlServer
from support.commands import COMMAND, forebay
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = """\
[plugin]
name = "{name}"
version = "{version}"
command = {command}

[inputs.values]
tags = ["press/*"]

[outputs.mean]
"""
MEAN = """\
import numpy as np
from forebay_plugin import Plugin, serve


class Mean(Plugin):
    def process(self, window):
        return {"mean": float(np.nanmean(window.matrix("values")))}


serve(Mean)
"""
SERVED = '["{python}", "{dir}/mean.py"]'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a plugin that the SDK serves, unless told otherwise."""

    def make(name: str = "mean", version: str = "1.0", command: str = SERVED) -> Path:
        folder = tmp_path / f"{name}-{version}"
        folder.mkdir()
        manifest = MANIFEST.format(name=name, version=version, command=command)
        (folder / "plugin.toml").write_text(manifest)
        (folder / "mean.py").write_text(MEAN)
        return folder

    return make


async def test_what_commands_show_as_json(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        ls = (await forebay("plugins", "ls", "--json", "--socket", path)).document()
        show = (
            await forebay("plugins", "show", "pump-anomaly", "--json", "--socket", path)
        ).document()
        logs = (
            await forebay("plugins", "logs", "pump-anomaly", "--json", "--socket", path)
        ).document()
    assert ls["state"] == "/var/lib/forebay"
    assert [one["name"] for one in ls["plugins"]] == ["pump-anomaly", "vision", "wear", "twin"]
    assert show == ls["plugins"][0]
    assert show.keys() == {field.name for field in pb.PluginStatus.DESCRIPTOR.fields}
    assert show["facts"] == [
        {"name": "model", "text": "pump 3"},
        {"name": "threshold", "text": "0.62"},
    ]
    assert [line["number"] for line in logs["lines"]] == [1, 2]


async def test_what_there_is_not(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        shown = await forebay("plugins", "show", "nope", "--socket", path)
        logged = await forebay("plugins", "logs", "nope", "--socket", path)
    assert (shown.code, logged.code) == (2, 2)
    assert "there is no plugin 'nope'" in shown.err
    assert (await forebay("plugins", "ls", "--socket", path)).code == 3


async def test_a_log_is_harmless_to_a_terminal_and_cut_to_what_is_asked(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("plugins", "logs", "pump-anomaly", "--lines", "1", "--socket", path)
    assert (done.code, done.out) == (0, "2 4711 score \N{REPLACEMENT CHARACTER}[2J\n")


async def test_a_log_is_followed(path: Path) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent), asyncio.timeout(60):
        process = await asyncio.create_subprocess_exec(
            COMMAND, "plugins", "logs", "pump-anomaly", "--follow", "--socket", path,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline() == b"2026-11-22T08:00:00.000+00:00 4711 ready\n"
        await process.stdout.readline()
        agent.plugins.lines.append("3 4711 and on")
        assert await process.stdout.readline() == b"3 4711 and on\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_a_restart_is_asked_for(path: Path) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent):
        done = await forebay("plugins", "restart", "vision", "--json", "--socket", path)
    assert (done.code, done.document()) == (0, {"done": ["vision"], "failed": []})
    assert agent.plugins.asked == [("restart", "vision")]


async def test_a_folder_is_installed_without_an_agent(
    tmp_path: Path, path: Path, plugin: Callable[..., Path]
) -> None:
    state = tmp_path / "state"
    done = await run("install", plugin(), state, path)
    assert (done.code, done.err) == (0, "")
    found = done.document()
    assert found | {"sdk": ""} == {
        "plugin": "mean",
        "version": "1.0",
        "directory": str(state / "plugins/installed/mean/1.0"),
        "sdk": "",
        "taken_up": [],
    }
    assert found["sdk"].startswith("forebay-plugin ")
    assert (state / "plugins/installed/mean/current/plugin.toml").exists()
    again = await run("install", tmp_path / "mean-1.0", state, path)
    assert again.code == 2
    assert "installed already" in again.err


async def test_an_archive_is_installed_and_the_agent_told(
    tmp_path: Path, path: Path, plugin: Callable[..., Path]
) -> None:
    folder = plugin(version="1.1")
    with tarfile.open(tmp_path / "mean.tar.gz", "w:gz") as archive:
        archive.add(folder, "mean-1.1")
    agent = ScriptedAgent()
    agent.plugins.state = str(tmp_path / "state")
    async with ControlServer(path, agent):
        done = await forebay(
            "plugins", "install", tmp_path / "mean.tar.gz", "--json", "--socket", path
        )
    assert (done.code, done.err) == (0, "")
    assert done.document()["taken_up"] == ["pump-mean"]
    assert agent.plugins.asked == [("refresh", "mean")]
    assert (tmp_path / "state/plugins/installed/mean/1.1/mean.py").exists()


async def test_a_version_that_the_agent_cannot_run_is_taken_back(
    tmp_path: Path, path: Path, plugin: Callable[..., Path]
) -> None:
    state, agent = tmp_path / "state", ScriptedAgent()
    first = await run("install", plugin("vision", "1.0"), state, path)
    assert first.code == 0, first.err
    async with ControlServer(path, agent):
        done = await run("install", plugin("vision", "2.0"), state, path)
    assert done.code == 1
    assert "1.0 stays" in done.err
    assert (state / "plugins/installed/vision/current").readlink() == Path("1.0")
    assert sorted(one.name for one in (state / "plugins/installed/vision").iterdir()) == [
        "1.0",
        "current",
    ]
    assert agent.plugins.asked == [("refresh", "vision")]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ('["{python}", "-c", "import nothing_of_that_name"]', "ModuleNotFoundError"),
        ('["{dir}/no-such-program"]', "ended with status"),
        ('["/bin/true"]', "ended with status 0"),
    ],
    ids=("import", "program", "silent"),
)
async def test_what_does_not_start_is_not_installed(
    tmp_path: Path, path: Path, plugin: Callable[..., Path], command: str, why: str
) -> None:
    state = tmp_path / "state"
    done = await run("install", plugin(command=command), state, path)
    assert done.code == 1, done
    assert why in done.err
    assert not (state / "plugins/installed/mean/1.0").exists()
    assert not (state / "plugins/installed/mean/current").exists()


async def test_what_is_no_plugin_is_not_installed(tmp_path: Path, path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "folder"
    folder.mkdir()
    assert (await run("install", tmp_path / "nowhere", state, path)).code == 2
    missing = await run("install", folder, state, path)
    assert missing.code == 2
    assert "plugin.toml does not exist" in missing.err
    (folder / "plugin.toml").write_text('[plugin]\nname = "Mean"\n')
    assert (await run("install", folder, state, path)).code == 2
    assert [one for one in (state / "plugins/installed").rglob("*") if one.is_file()] == []


async def test_what_is_configured_is_removed_by_force_only(
    tmp_path: Path, path: Path, plugin: Callable[..., Path]
) -> None:
    state = tmp_path / "state"
    assert (await run("install", plugin("anomaly"), state, path)).code == 0
    async with ControlServer(path, ScriptedAgent()):
        refused = await run("remove", "anomaly", state, path)
    assert refused.code == 2
    assert "[plugins.pump-anomaly]" in refused.err
    config = tmp_path / "forebay.toml"
    config.write_text('[plugins.pump]\nplugin = "anomaly"\n')
    environ = {"FOREBAY_CONFIG": str(config)}
    assert (await run("remove", "anomaly", state, path, **environ)).code == 2
    removed = await run("remove", "anomaly", state, path, "--force", **environ)
    assert removed.document() == {"plugin": "anomaly", "versions": ["1.0"], "used_by": ["pump"]}
    assert not (state / "plugins/installed/anomaly").exists()
    assert (await run("remove", "anomaly", state, path)).code == 2


async def run(
    verb: str, what: Path | str, state: Path, socket: Path, *options: str, **environ: str
) -> Any:
    """Install or remove, with --json."""
    return await forebay(
        "plugins", verb, what, "--state", state, "--socket", socket, "--json", *options, **environ
    )


async def test_a_plugin_runs_its_own_code_and_not_what_is_installed_beside_the_agent(
    tmp_path: Path, path: Path, plugin: Callable[..., Path]
) -> None:
    state, folder = tmp_path / "state", plugin(command='["{python}", "-m", "forebay_anomaly"]')
    package = folder / "src/forebay_anomaly"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("raise SystemExit('this is the one in its own folder')\n")
    done = await run("install", folder, state, path)
    assert done.code == 1
    assert "this is the one in its own folder" in done.err
