"""State over restarts: windows that come again, files that are torn, time that goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay_plugin.state import OLD_MOST, Keeper, Place
from forebay_plugin.window import Columns, Window
from forebay_plugin.windowlog import WINDOWS

if TYPE_CHECKING:
    from pathlib import Path


def window(number: int) -> Window:
    return Window(number, number * 10, number * 10 + 10, Columns([], [], []), [])


def counted(keeper: Keeper, number: int) -> Place:
    """Work on a window: `n` counts them."""
    place = keeper.place(window(number))
    keeper.value = {"n": keeper.value.get("n", 0) + 1}
    keeper.save(now=False)
    return place


def test_windows_that_come_again_are_worked_on_from_what_was_known_before(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    assert not keeper.found
    assert [counted(keeper, number) for number in range(1, 6)] == [Place.NEW] * 5
    again = Keeper(tmp_path)
    assert (again.found, again.value) == (True, {"n": 5})
    assert counted(again, 4) is Place.AGAIN
    assert again.value == {"n": 4}
    assert [counted(again, number) for number in (5, 6)] == [Place.NEW] * 2
    assert again.value == {"n": 6}


def test_a_torn_file_costs_the_last_save_only(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    for number in range(1, 4):
        counted(keeper, number)
    log = tmp_path / "known"
    log.write_bytes(log.read_bytes()[:-3])
    again = Keeper(tmp_path)
    assert (again.found, again.damaged, again.value) == (True, True, {"n": 2})
    for path in tmp_path.iterdir():
        path.write_bytes(b"torn")
    nothing = Keeper(tmp_path)
    assert (nothing.found, nothing.damaged, nothing.value) == (False, True, {})


def test_what_is_too_old_is_told_and_time_that_went_back(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    for number in range(2, WINDOWS + 10):
        counted(keeper, number)
    assert keeper.place(window(1)) is Place.OLD
    places = [keeper.place(Window(0, 0, 1, Columns([], [], []), [])) for _ in range(OLD_MOST)]
    assert places == [Place.OLD] * (OLD_MOST - 1) + [Place.BACK]
    assert keeper.place(window(1)) is Place.NEW


def test_many_windows_back_are_remembered(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    for number in range(1, 1000):
        counted(keeper, number)
    again = Keeper(tmp_path)
    assert counted(again, 17) is Place.AGAIN
    assert again.value == {"n": 17}


def test_without_a_directory_nothing_is_kept() -> None:
    keeper = Keeper(None)
    assert counted(keeper, 1) is Place.NEW
    assert keeper.value == {"n": 1}
