"""`forebay update rollback`: where a person comes to by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.cli.update import _before
from forebay.files import SystemDisk
from forebay.launcher.book import FOLDER, INSTALLED, Book, Outcome, Package, Slots
from forebay.management import filling
from support.slots import package

if TYPE_CHECKING:
    from pathlib import Path


def test_a_slot_that_was_filled_anew_and_never_tried_is_not_gone_back_to(tmp_path: Path) -> None:
    """As a power cut leaves it, between the filling of a slot and its trial."""
    slots = Slots(tmp_path / FOLDER, SystemDisk())
    proved = package(tmp_path / "proved.tar", "9.0.0")
    fresh = package(tmp_path / "fresh.tar", "9.1.0")
    kept = Outcome("b", Package("9.0.0", filling.digest(proved), "one"), kept=True)
    book = Book("a", None, (kept,))
    filling.fill(slots.folder, "b", proved, None)
    assert _before(slots, book) == "b"
    filling.fill(slots.folder, "b", fresh, None)
    assert _before(slots, book) == INSTALLED
