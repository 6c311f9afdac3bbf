"""Plugins in units: names, limits, and the real launcher where a script stands for systemctl."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import PluginUnavailable
from forebay.pluginhost import units
from forebay.pluginhost.logs import PluginLog
from forebay.pluginhost.manifest import Limits
from forebay.pluginhost.stored import LARGEST
from forebay.pluginhost.unitprocess import UnitProcess
from support.processes import until
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "forebay-plugin@odd.service"
SYSTEMCTL = """\
#!/bin/sh
# Starts the real launcher as a process of its own; the last word is the unit, but for set-property.
shift
echo "$@" >>{here}/asked
case $1 in
restart)
  STATE_DIRECTORY={here}/state {python} -P -m forebay.pluginhost.launcher \
{here}/forebay-plugin@odd/launch.sock >>{here}/said 2>&1 &
  echo $! >{here}/pid ;;
show) case $2 in --property=MainPID) cat {here}/pid ;; --property=Result) echo {result} ;; esac ;;
stop) if [ -e {here}/pid ]; then kill -9 $(cat {here}/pid) 2>/dev/null; fi; true ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place whose `systemctl` starts launchers."""
    (tmp_path / "state").mkdir()
    answers(tmp_path, "success")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def answers(home: Path, result: str) -> None:
    program = home / "systemctl"
    program.write_text(SYSTEMCTL.format(here=home, python=sys.executable, result=result))
    program.chmod(0o755)


async def started(home: Path, script: str, **limits: int) -> tuple[UnitProcess, PluginLog]:
    log = PluginLog(home / "log", 100, system_seams().clock)
    command = (sys.executable, "-c", script)
    environment = {"PATH": os.environ["PATH"], "FOREBAY_PLUGIN_TOKEN": "secret"}
    process = await UnitProcess.start(UNIT, home, command, environment, Limits(**limits), log)
    return process, log


async def test_what_it_prints_and_how_it_ends_is_told(home: Path) -> None:
    process, log = await started(home, "print('here'); raise SystemExit(7)")
    try:
        ended = await process.wait()
        assert ended.kind == "exit"
        assert "status 7" in ended.words
        assert [line for line in log.tail(5) if line.endswith(" here")]
    finally:
        await process.kill()
    asked = (home / "asked").read_text()
    assert f"set-property --runtime {UNIT} MemoryMax={544 << 20} TasksMax=72" in asked
    assert "CPUQuota=100%" in asked
    assert "secret" not in asked


async def test_what_it_uses_and_keeps_is_seen(home: Path) -> None:
    script = "open(__import__('os').environ['HOME'] + '/kept', 'wb').write(bytes(1 << 20)); "
    script += "b = bytearray(64 << 20); import time; time.sleep(600)"
    process, _ = await started(home, script)
    waiting = None
    try:
        waiting = asyncio.create_task(process.wait(), name="wait")
        limits = Limits(file_size=(1 << 20) // LARGEST // 2)
        await until(lambda: process.usage(0).memory_bytes >= 64 << 20, "it is seen")
        async with asyncio.timeout(30):
            while (full := await process.too_full(home / "state", limits)) is None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)  # the disk is looked at less often than the memory
        assert full.kind == "disk"
    finally:
        await process.kill()
        if waiting is not None:
            assert (await waiting).kind == "killed"


async def test_an_end_of_the_unit_by_the_kernel_is_want_of_memory(home: Path) -> None:
    answers(home, "oom-kill")
    process, _ = await started(home, "import time; time.sleep(600)")
    try:
        os.kill(process.pid, 9)
        assert (await process.wait()).kind == "memory"
    finally:
        await process.kill()


async def test_a_program_that_is_not_there_is_told(home: Path) -> None:
    log = PluginLog(home / "log", 100, system_seams().clock)
    process = await UnitProcess.start(UNIT, home, ("/no/such",), {}, Limits(), log)
    try:
        ended = await process.wait()
        assert (ended.kind, "No such file" in ended.words) == ("start", True)
    finally:
        await process.kill()


async def test_what_systemd_refuses_is_told_with_its_words(home: Path) -> None:
    (home / "systemctl").write_text("#!/bin/sh\necho Access denied >&2\nexit 1\n")
    with pytest.raises(PluginUnavailable, match="set-property: Access denied"):
        await started(home, "pass")


@given(st.text(min_size=1, max_size=64))
def test_a_unit_has_a_name_that_is_a_users_too(name: str) -> None:
    found = units.instance_of(name)
    assert len(f"fbp-{found}") <= 31
    assert found.isascii()
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    assert found[0] not in "_-"
    assert units.unit_of(name, beside=False) != units.unit_of(name, beside=True)


def test_names_that_are_cut_stay_apart() -> None:
    names = ["A.b", "a.b", "a-b", "x" * 40, "x" * 41]
    assert len({units.instance_of(name) for name in names}) == len(names)


def test_others_may_read_a_plugin_and_pass_what_is_above(tmp_path: Path) -> None:
    above = tmp_path / "above"
    plugin = above / "plugin"
    plugin.mkdir(parents=True)
    (plugin / "code.py").write_text("")
    (above / "secret").write_text("")
    for path in (plugin / "code.py", above / "secret"):
        path.chmod(0o600)
    plugin.chmod(0o700)
    above.chmod(0o700)
    units.let_read(plugin)
    modes = [path.stat().st_mode & 0o777 for path in (above, plugin, plugin / "code.py")]
    assert modes == [0o701, 0o705, 0o604]
    assert (above / "secret").stat().st_mode & 0o777 == 0o600


def test_there_are_no_units_where_the_agent_is_no_service() -> None:
    assert units.home({}) is None
    assert units.home({"RUNTIME_DIRECTORY": "/run/forebay"}) is None
