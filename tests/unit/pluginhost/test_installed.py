"""Installed plugins on disk: which version is in use, what stays, what goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.pluginhost.installed import KEPT_VERSIONS, MARK, Installed

if TYPE_CHECKING:
    from pathlib import Path


def bring(installed: Installed, version: str) -> Path:
    room = installed.room()
    (room / "plugin.toml").write_text(version)
    return installed.place(room, "score", version)


def test_nothing_is_installed_at_first(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    assert (installed.names(), installed.versions("score"), installed.current("score")) == (
        (),
        (),
        None,
    )
    assert not (tmp_path / "plugins").exists()


def test_a_version_is_in_use_only_when_it_is_said(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    first = bring(installed, "1.0")
    assert installed.current("score") is None
    installed.use("score", "1.0")
    assert installed.current("score") == first
    bring(installed, "1.1")
    assert installed.current("score") == first
    installed.use("score", "1.1")
    assert installed.current("score") == tmp_path / "plugins/installed/score/1.1"
    assert installed.names() == ("score",)


def test_what_is_in_use_is_not_overwritten(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    bring(installed, "1.0")
    bring(installed, "1.0")
    installed.use("score", "1.0")
    with pytest.raises(FileExistsError):
        bring(installed, "1.0")
    assert (tmp_path / "plugins/installed/score/1.0/plugin.toml").read_text() == "1.0"


def test_a_version_that_is_not_used_can_go_and_the_one_in_use_not(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    bring(installed, "1.0")
    installed.use("score", "1.0")
    bring(installed, "1.1")
    for version in ("1.0", "1.1", "1.2"):
        installed.forget("score", version)
    assert installed.versions("score") == ("1.0",)


def test_the_oldest_versions_go_and_never_the_one_in_use(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    for number in range(KEPT_VERSIONS + 2):
        bring(installed, f"1.{number}")
        installed.use("score", f"1.{number}")
    last = KEPT_VERSIONS + 1
    assert installed.versions("score") == tuple(
        f"1.{number}" for number in range(last - KEPT_VERSIONS + 1, last + 1)
    )
    installed.use("score", f"1.{last - 2}")
    assert installed.current("score") is not None
    assert len(installed.versions("score")) == KEPT_VERSIONS


@pytest.mark.parametrize("target", ["../../etc", "/etc", "1.0/..", ".", "gone"])
def test_a_link_that_leads_elsewhere_is_no_version(tmp_path: Path, target: str) -> None:
    installed = Installed(tmp_path)
    bring(installed, "1.0")
    (tmp_path / "plugins/installed/score/current").symlink_to(target)
    assert installed.current("score") is None


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    bring(installed, "1.0")
    installed.use("score", "1.0")
    installed.remove("score")
    assert installed.names() == ()
    assert list((tmp_path / "plugins/installed").iterdir()) == []
    with pytest.raises(FileNotFoundError):
        installed.remove("score")


def test_what_came_by_the_fleet_is_not_touched_by_hand(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    fleet = installed.home / "score/1.0"
    fleet.mkdir(parents=True)
    (fleet / MARK).write_text("ab" * 32)
    with pytest.raises(FileExistsError, match="by the fleet"):
        bring(installed, "1.0")
    installed.forget("score", "1.0")
    for count in range(KEPT_VERSIONS + 1):
        version = f"2.{count}"
        bring(installed, version)
        installed.use("score", version)
    assert installed.versions("score") == ("1.0", *(f"2.{n}" for n in range(1, KEPT_VERSIONS + 1)))
    installed.take_back("score")
    assert installed.versions("score") == ("1.0",), "it runs without being current"
    assert installed.current("score") is None


def test_what_says_of_itself_that_it_came_by_the_fleet_did_not(tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    room = installed.room()
    (room / MARK).write_text("ab" * 32)
    assert not (installed.place(room, "score", "1.0") / MARK).exists()
    installed.take_back("score")
    assert installed.names() == ()
