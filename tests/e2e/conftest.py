"""A test that follows a page of the documents is held to all that the page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import shown

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test that passed, and left out a command of a page that it says to follow."""
    shown.typed.clear()
    done = yield
    for mark in pyfuncitem.iter_markers("follows"):
        for page in mark.args:
            shown.followed(page)
    return done
