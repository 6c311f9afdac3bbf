"""Events count whatever happens to their lines."""

from __future__ import annotations

from typing import NoReturn

import structlog

from forebay.events import DATA_LOST, DEVICE_LOST, Events


class BrokenPipe:
    """A log whose reader is gone."""

    def msg(self, message: str) -> NoReturn:
        raise BrokenPipeError

    error = warning = info = msg


def test_a_line_that_cannot_be_written_stops_nothing_and_is_counted() -> None:
    events = Events(
        structlog.wrap_logger(BrokenPipe(), processors=[structlog.processors.JSONRenderer()])
    )
    events.emit(DEVICE_LOST, device="press")
    events.emit(DEVICE_LOST, device="press")
    assert events.lines_lost == 2
    assert events.count(DEVICE_LOST, device="press") == 2


def test_counts_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    events = Events(structlog.get_logger())
    for device in ("a", "a", "b"):
        events.emit(DEVICE_LOST, device=device)
    assert events.count(DEVICE_LOST) == 3
    assert events.count(DEVICE_LOST, device="a") == 2
    assert events.count(DEVICE_LOST, device="c") == 0
    assert events.count(DATA_LOST) == 0
