"""The command line that confines a plugin."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from forebay.pluginhost.manifest import Limits
from forebay.pluginhost.sandbox import (
    SLACK_BYTES,
    Cell,
    Means,
    arguments,
    cores,
    environment,
    in_force,
    readable,
)

ALL = Means("user-namespace", prlimit=True, choom=True, setpriv=True, taskset=True)
ROOT = Means("own-user", prlimit=True, choom=True, setpriv=True, taskset=True, root=True)
BARE = Means(None, prlimit=True, choom=False, setpriv=True, taskset=False)
NONE = Means(None, prlimit=False, choom=False, setpriv=False, taskset=False, root=True)
LIMITS = Limits(memory=100 << 20, processes=8, nice=5, cpu=2.0)


def cell(tmp_path: Path) -> Cell:
    return Cell(
        directory=tmp_path / "plugin",
        socket_directory=tmp_path / "socket",
        state_directory=tmp_path / "state",
        readable=(tmp_path / "venv",),
        model=tmp_path / "model",
        user=61_200,
    )


def shown(command: list[str], kind: str) -> list[str]:
    """Give what is bound into the sandbox in this way."""
    return [command[at + 2] for at, word in enumerate(command) if word == kind]


def test_only_its_state_can_be_written(tmp_path: Path) -> None:
    command = arguments(ALL, cell(tmp_path), LIMITS, ["run", "it"])
    assert shown(command, "--bind") == [str(tmp_path / "state")]
    for name in ("plugin", "venv", "model"):
        assert str(tmp_path / name) in shown(command, "--ro-bind")
    assert "/run/forebay" in shown(command, "--ro-bind")
    assert command[-2:] == ["run", "it"]
    assert {"--unshare-all", "--die-with-parent", "--new-session"} <= set(command)
    assert "--share-net" not in command


def test_nothing_of_etc_but_the_linkers_and_the_clocks(tmp_path: Path) -> None:
    command = arguments(ALL, cell(tmp_path), LIMITS, ["run"])
    of_etc = {word for word in command if word.startswith("/etc/")}
    assert of_etc <= {
        f"/etc/{name}"
        for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")
    }


def test_limits_are_set_inside_so_that_the_number_of_processes_is_its_own(tmp_path: Path) -> None:
    command = arguments(ALL, cell(tmp_path), LIMITS, ["run"])
    inner = command[command.index("--", command.index("bwrap")) + 1 :]
    assert inner[0] == "prlimit"
    assert f"--data={(100 << 20) + SLACK_BYTES}" in inner
    assert {"--nproc=8", "--core=0"} <= set(inner)
    assert command[:3] == ["nice", "-n", "5"]


def test_where_the_agent_is_root_the_plugin_is_not(tmp_path: Path) -> None:
    command = arguments(ROOT, cell(tmp_path), LIMITS, ["run"])
    at = command.index("setpriv")
    assert command[at + 1 : at + 5] == ["--reuid", "61200", "--regid", "61200"]
    assert {"--clear-groups", "--inh-caps=-all", "--bounding-set=-all"} <= set(command[at:])
    assert at > command.index("bwrap")
    assert "--unshare-net" in command


def test_without_bubblewrap_it_dies_with_the_agent(tmp_path: Path) -> None:
    command = arguments(BARE, cell(tmp_path), LIMITS, ["run"])
    assert command[3:7] == ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
    assert "prlimit" in command
    assert arguments(NONE, cell(tmp_path), LIMITS, ["run"]) == ["nice", "-n", "5", "run"]


def test_it_keeps_off_the_first_core_and_to_as_many_as_it_may(tmp_path: Path) -> None:
    one, two = Limits(cpu=0.5), Limits(cpu=2.0)
    assert cores([0], two, "a") == (0,)
    assert cores([0, 1], one, "a") == (1,)
    assert cores([0, 1], two, "a") == (0, 1)
    assert 0 not in cores(range(8), two, "a")
    assert len(cores(range(8), two, "a")) == 2
    assert len({cores(range(8), one, f"plugin-{n}") for n in range(50)}) == 7
    command = arguments(ALL, replace(cell(tmp_path), cores=(1, 3)), LIMITS, ["run"])
    assert command[command.index("taskset") :][:3] == ["taskset", "-c", "1,3"]
    assert "taskset" not in arguments(ALL, cell(tmp_path), LIMITS, ["run"])


def test_what_is_in_force_is_told_and_nothing_else() -> None:
    assert in_force(ALL, LIMITS)[:3] == ("bubblewrap", "rlimits", "nice")
    assert in_force(ROOT, LIMITS)[:2] == ("bubblewrap", "own user")
    assert "bubblewrap" not in in_force(BARE, LIMITS)
    assert in_force(NONE, Limits(nice=0)) == ("memory and processes watched", "as root")


def test_the_environment_holds_nothing_of_ours(tmp_path: Path) -> None:
    ours = {"FOREBAY_PASSWORD": "x", "TZ": "Europe/Berlin", "LD_PRELOAD": "x", "PATH": "/odd"}
    given = environment(ALL, cell(tmp_path), LIMITS, "token", ours)
    assert given["TZ"] == "Europe/Berlin"
    assert given["FOREBAY_PLUGIN_TOKEN"] == "token"
    assert given["FOREBAY_PLUGIN_SOCKET"] == "/run/forebay/plugin.sock"
    assert given["OMP_NUM_THREADS"] == "2"
    assert not {"FOREBAY_PASSWORD", "LD_PRELOAD"} & given.keys()
    assert "odd" not in given["PATH"]
    bare = environment(BARE, cell(tmp_path), LIMITS, "token", {})
    assert bare["FOREBAY_PLUGIN_SOCKET"] == str(tmp_path / "socket/plugin.sock")


def test_the_agents_interpreter_sees_what_it_imports_from(tmp_path: Path) -> None:
    found = readable([sys.executable, "-m", "x"], tmp_path)
    assert Path(sys.prefix) in found
    assert Path(sys.base_prefix) in found
    assert not any(path == Path("/") or Path("/etc") in path.parents for path in found)


def test_a_virtual_environment_of_the_plugin_sees_what_it_was_made_of(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "bin").mkdir(parents=True)
    (base / "bin/python").touch()
    (base / "lib/python3.12").mkdir(parents=True)
    (base / "lib/python3.12/os.py").touch()
    plugin = tmp_path / "plugin"
    (plugin / "venv/bin").mkdir(parents=True)
    (plugin / "venv/bin/python").symlink_to(base / "bin/python")
    (plugin / "venv/pyvenv.cfg").write_text(f"home = {base / 'bin'}\n", encoding="utf-8")
    assert readable([str(plugin / "venv/bin/python")], plugin) == (base,)
    assert readable(["node"], plugin) == ()
    assert readable(["/etc/evil"], tmp_path / "other") == ()


def test_what_a_plugin_says_of_its_interpreter_shows_no_other_folder(tmp_path: Path) -> None:
    secret, plugin = tmp_path / "state", tmp_path / "plugin"
    (secret / "bin").mkdir(parents=True)
    (secret / "bin/python").touch(mode=0o600)
    (secret / "tool").touch(mode=0o755)
    (plugin / "venv/bin").mkdir(parents=True)
    (plugin / "venv/bin/python").symlink_to("/usr/bin/python3")
    for home in (secret, secret / "bin", secret / "x/.."):
        (plugin / "venv/pyvenv.cfg").write_text(f"home = {home}\n", encoding="utf-8")
        found = readable([str(plugin / "venv/bin/python")], plugin)
        assert not any(path.is_relative_to(tmp_path) for path in found)
        found = readable([f"{secret}/bin/python"], plugin)
        assert not any(path.is_relative_to(tmp_path) for path in found)
    assert readable([f"{secret}/tool"], tmp_path / "other") == (secret / "tool",)
