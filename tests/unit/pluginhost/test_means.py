"""What a machine offers, and a plugin on one that offers little."""

from __future__ import annotations

import os
import pwd
import shutil
from typing import TYPE_CHECKING

import pytest

from forebay.events import PLUGIN_UNCONFINED
from forebay.pluginhost import watch
from forebay.pluginhost.means import FIRST_USER, LAST_USER, probe, user_of
from support.plugins import Bench, odd, sums

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which there is all but bubblewrap."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("nice", "choom", "prlimit", "setpriv", "taskset", "true", "sh"):
        found = shutil.which(name)
        assert found is not None, name
        (directory / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(directory))
    return directory


async def test_bubblewrap_is_found_by_trying(bubblewrap: None) -> None:
    found = await probe()
    assert found.bubblewrap == ("own-user" if os.geteuid() == 0 else "user-namespace")
    assert (found.prlimit, found.choom, found.setpriv, found.why) == (True, True, True, "")


async def test_one_that_does_not_work_is_as_good_as_none(bare: Path) -> None:
    assert (await probe()).why == "bubblewrap is not installed"
    (bare / "bwrap").write_text("#!/bin/sh\necho setting up uid map: no >&2\nexit 1\n")
    (bare / "bwrap").chmod(0o755)
    found = await probe()
    assert found.bubblewrap is None
    assert found.why == "setting up uid map: no"


async def test_without_bubblewrap_a_plugin_runs_with_limits_and_that_is_told(
    tmp_path: Path, bare: Path
) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "daemon"), total=8)
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor == [8])
        assert "bubblewrap" not in host.status().sandbox
        assert "rlimits" in host.status().sandbox
        strays = set(watch.marked(str(tmp_path / "plugins/odd/state"), 100))
        strays -= set(watch.tree(host.status().pid, 100))
        assert strays, "there is one that left its parents"
    assert bench.feed.sums == sums(bench.feed, 8)
    assert bench.seams.events.count(PLUGIN_UNCONFINED) == 1
    assert not [pid for pid in strays if watch.lives(pid)], "it is found all the same"


async def test_one_that_requires_it_does_not_run_without(tmp_path: Path, bare: Path) -> None:
    instance = odd(tmp_path / "odd", "good", sandbox="required")
    bench = Bench(tmp_path, instance, total=8)
    async with bench.running() as host:
        await bench.until(lambda: host.status().failures.get("sandbox"))
        assert "bubblewrap is not installed" in host.status().last_error
        assert host.status().starts == 0


def test_a_plugin_has_the_same_user_each_time_and_one_of_nobody() -> None:
    users = [user_of(f"plugin-{number}") for number in range(20)]
    assert users == [user_of(f"plugin-{number}") for number in range(20)]
    assert len(set(users)) >= 19
    for user in users:
        assert FIRST_USER <= user <= LAST_USER
        with pytest.raises(KeyError):
            pwd.getpwuid(user)
