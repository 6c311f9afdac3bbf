"""The book of slots: which version a start begins, whatever was cut off or damaged."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import forebay
from forebay.launcher.book import (
    BOOK,
    BOOTS,
    FOLDER,
    INSTALLED,
    OUTCOMES_KEPT,
    PROVED,
    Book,
    Package,
    Slots,
    Trial,
    Unreadable,
    decode,
    encode,
)
from forebay.testing.disk import FaultyDisk
from forebay.testing.medium import PowerCut

HOME = Path("/state") / FOLDER
TRIAL = Trial("a", INSTALLED, Package("2.0", "ab" * 32, "offer"), 600.0)


def slots(disk: FaultyDisk | None = None) -> Slots:
    return Slots(HOME, disk or FaultyDisk())


def test_without_a_book_what_was_installed_runs() -> None:
    assert slots().begin() == (Book(), (INSTALLED,))


def test_a_trial_has_three_starts_and_then_what_was_before_runs() -> None:
    box = slots()
    box.write(Book().put_on_trial(TRIAL))
    assert [box.begin()[1][0] for _ in range(BOOTS + 2)] == ["a"] * BOOTS + [INSTALLED] * 2
    book = box.read()
    assert (book.trial, book.current, book.outcomes[0].kept) == (None, INSTALLED, False)


def test_what_proved_itself_runs_from_then_on_and_the_next_goes_to_the_other_slot() -> None:
    box = slots()
    box.write(Book().put_on_trial(TRIAL).keep(5))
    assert box.begin()[1] == ("a", INSTALLED)
    box.write(box.read().put_on_trial(replace(TRIAL, slot="b", previous="a")))
    assert box.begin()[1] == ("b", "a", INSTALLED)
    box.write(box.read().give_up("it crashed", 6))
    assert box.begin()[1] == ("a", INSTALLED)


def test_an_archive_that_failed_is_denied_under_its_offer_alone() -> None:
    book = Book().put_on_trial(TRIAL).give_up("it crashed")
    archive = TRIAL.package.archive
    assert book.denied(archive, "offer") is not None
    assert book.denied(archive, "another") is None
    assert book.denied("00", "offer") is None
    assert Book().put_on_trial(TRIAL).keep(1).denied(archive, "offer") is None


def test_a_person_goes_back_from_what_was_kept() -> None:
    book = Book().put_on_trial(TRIAL).keep(1).back(INSTALLED, "a person went back")
    assert (book.current, book.outcomes[-1].kept) == (INSTALLED, False)


def test_only_so_many_outcomes_are_kept() -> None:
    book = Book()
    for _ in range(OUTCOMES_KEPT + 5):
        book = book.put_on_trial(TRIAL).give_up("it crashed")
    assert len(book.outcomes) == OUTCOMES_KEPT


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2},
        {"current": "c"},
        {"trial": {}},
        {"trial": {"slot": "../x"}},
        {"trial": {"boots_left": 10}},
        {"trial": {"boots_left": "many"}},
        {"trial": {"probation_s": 1e9}},
        {"trial": {"start_s": None}},
        {"outcomes": [1]},
        {"outcomes": None},
    ],
)
def test_a_damaged_book_is_none(change: dict[str, object]) -> None:
    told = json.loads(encode(Book().put_on_trial(TRIAL)))
    if isinstance(part := change.get("trial"), dict) and part:
        told["trial"] |= part
    else:
        told |= change
    with pytest.raises(Unreadable):
        decode(json.dumps(told).encode())


def test_a_book_of_a_newer_version_says_what_this_one_knows() -> None:
    """The launcher stays while the agents that write the book change."""
    book = Book().put_on_trial(TRIAL).give_up("it crashed").put_on_trial(TRIAL)
    told = json.loads(encode(book))
    told["more"] = told["trial"]["more"] = told["trial"]["package"]["more"] = 1
    told["outcomes"][0]["more"] = told["outcomes"][0]["package"]["more"] = 1
    assert decode(json.dumps(told).encode()) == book


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_of_a_damaged_book_what_proved_itself_last_runs(data: bytes) -> None:
    disk = FaultyDisk()
    box = slots(disk)
    box.write(Book().put_on_trial(TRIAL).keep(1))
    disk.write_atomic(HOME / BOOK, data)
    assert box.begin()[1][0] == "a"
    disk.write_atomic(HOME / PROVED, data)
    assert box.begin()[1] == (INSTALLED,)


def test_a_start_that_cannot_be_counted_is_no_trial() -> None:
    disk = FaultyDisk()
    box = slots(disk)
    box.write(Book().put_on_trial(TRIAL))
    disk.fail("rename", errno.ENOSPC, part=BOOK)
    assert box.begin()[1] == (INSTALLED,)


def test_a_start_waits_for_who_changes_the_book_and_begins_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = FaultyDisk()
    box = slots(disk)
    box.write(Book().put_on_trial(TRIAL))
    held = box.lock()
    assert held is not None
    assert slots(disk).lock() is None

    def wait(_: float) -> None:  # meanwhile a person has gone back
        box.write(Book().put_on_trial(TRIAL).give_up("a person went back"))
        assert held is not None
        held.close()

    monkeypatch.setattr("forebay.launcher.book.time.sleep", wait)
    assert box.begin()[1] == (INSTALLED,), "and not what was read before"
    box.write(Book().put_on_trial(TRIAL))
    held = box.lock()
    monkeypatch.setattr("forebay.launcher.book.LOCK_S", 0.0)
    assert box.begin()[1] == ("a", INSTALLED)
    assert box.read().trial == replace(TRIAL, boots_left=BOOTS - 1)


class Noting(Slots):
    """Remembers the books that it was to make true."""

    def __init__(self, disk: FaultyDisk, books: list[Book]) -> None:
        super().__init__(HOME, disk)
        self.books = books

    def write(self, book: Book) -> None:
        self.books.append(book)
        super().write(book)


def test_a_power_cut_at_any_operation_leaves_the_book_before_or_after() -> None:
    """Through the life of two updates, one that fails and one that is kept, cut at each change."""
    second = replace(TRIAL, package=Package("3.0", "cd" * 32, "other"))

    def life(disk: FaultyDisk) -> list[Book]:
        books = [Book()]
        box = Noting(disk, books)
        with contextlib.suppress(PowerCut):
            box.write(Book().put_on_trial(TRIAL))
            for _ in range(BOOTS + 1):
                if not disk.off:
                    box.begin()
            if not disk.off:
                box.write(box.read().put_on_trial(second))
                box.begin()
            if not disk.off:
                box.write(box.read().keep(1))
        return books

    whole = FaultyDisk()
    assert len(life(whole)) == BOOTS + 6
    for cut in range(whole.changes):
        for seed in range(3):
            disk = FaultyDisk()
            disk.cut_after(cut)
            books = life(disk)
            assert disk.off
            disk = disk.reboot(random.Random(seed))
            assert slots(disk).read() in books[-2:]
            starts = 0
            while (now := slots(disk).begin())[0].trial is not None:
                starts += 1
                assert starts <= BOOTS, "no trial is begun for ever"
                assert now[1][0] == "a"


def test_it_runs_where_nothing_is_installed() -> None:
    """The launcher must start when every library of a new version is broken."""
    root = Path(forebay.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import forebay.launcher.__main__;"
        "print([m for m in sys.modules if m.startswith('forebay') and 'launcher' not in m])"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "['forebay']"
