"""Any sequence of steps leaves a box with something that runs and proved itself to go back to."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from forebay.config.attempts import Phase
from forebay.management.book import (
    BOOTS,
    FILE,
    MAX_ATTEMPTS,
    MAX_DENIED,
    MAX_KEPT,
    Book,
    Trial,
    decode,
    encode,
)
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = ("try", "try", "boot", "commit", "roll_back", "fail", "before")


def step(book: Book, what: str, salt: int) -> Book:  # noqa: PLR0911 - one for each step
    """Do one step, if it can be done now."""
    match what:
        case "try":
            hash_ = f"{salt:02x}" * 32
            book = book.begin(hash_, f"offer-{salt}", "fleet", "", "", salt)
            last, number = book.last, book.next
            assert last is not None
            book = book.keep(number, hash_, "fleet")
            trial = Trial(last.id, number, book.committed, BOOTS, 10.0, "boot", salt, salt, {})
            return book.put_on_trial(trial)
        case "boot" if book.trial is not None and book.trial.boots_left:
            return book.booted()
        case "commit" if book.trial is not None:
            return book.commit(salt, 1.0)
        case "roll_back" if book.trial is not None:
            return book.roll_back("because", "", salt, 1.0)
        case "fail":
            book = book.begin(f"{salt:02x}", f"offer-{salt}", "fleet", "", "", salt)
            assert book.last is not None
            return book.note(book.last.id, phase=Phase.FAILED).deny(f"{salt:02x}", f"offer-{salt}")
        case "before" if book.trial is None:
            return book.fall_back(book.before())
    return book


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 255)), max_size=200))
@examples(150)
def test_what_runs_is_always_there_and_nothing_grows(steps: Sequence[tuple[str, int]]) -> None:
    book, proved = Book(), {FILE}
    for what, salt in steps:
        trial = book.trial
        after = step(book, what, salt)
        if what == "commit" and trial is not None:
            proved.add(trial.generation)
        if what == "roll_back" and trial is not None:
            assert after.running == trial.previous
            failed = after.attempt(trial.attempt)
            assert failed is None or after.refuses(failed.hash, failed.offer_id)
        book = after
        assert book.committed in proved, "what never proved itself is nothing to go back to"
        assert book.running in {FILE, *book.kept}
        assert book.committed in {FILE, *book.kept}
        assert book.trial is None or book.running == book.trial.generation
        assert book.before() in {FILE, *book.kept}
        assert len(book.attempts) <= MAX_ATTEMPTS
        assert len(book.denied) <= MAX_DENIED
        assert decode(encode(book)) == book
    assert len(book.bounded().kept) <= MAX_KEPT + 1


@given(st.binary(max_size=300))
@examples(100)
def test_bytes_that_are_no_book_are_refused_in_the_ways_that_are_expected(data: bytes) -> None:
    for wrong in (data, encode(Book())[:-1] + data):
        try:
            decode(wrong)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def test_what_a_newer_agent_wrote_is_read_by_the_one_before_it() -> None:
    book = Book().begin("aa", "offer", "fleet", "", "", 1).keep(1, "aa", "fleet")
    book = book.deny("bb", "offer").put_on_trial(Trial(1, 1, FILE, BOOTS, 9.0, "b", 1, 1, {}))
    outer = json.loads(encode(book))
    body = json.loads(outer["body"])
    for told in (body, body["trial"], body["kept"]["1"], body["denied"][0], body["attempts"][0]):
        told["of_the_next"] = 7
    outer["body"] = json.dumps(body)
    outer["sha256"] = hashlib.sha256(outer["body"].encode()).hexdigest()
    assert decode(json.dumps(outer).encode()) == book
