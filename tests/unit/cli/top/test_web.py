"""Where `forebay top --web` listens, and what it says where it does not."""

from __future__ import annotations

import pytest

from forebay.cli.top.web import parse
from forebay.errors import RequestInvalid


def test_loopback_is_taken_and_others_when_told() -> None:
    assert parse("127.0.0.1:8023", anywhere=False) == ("127.0.0.1", 8023)
    assert parse("[::1]:8023", anywhere=False) == ("::1", 8023)
    assert parse("192.0.2.7:8023", anywhere=True) == ("192.0.2.7", 8023)


@pytest.mark.parametrize(
    ("listen", "anywhere", "said"),
    [
        ("192.0.2.7:8023", False, "can be reached by others"),
        ("0.0.0.0:8023", True, "no address that a browser calls"),
        ("127.0.0.1", False, "no IP:PORT"),
        ("localhost:8023", False, "no IP:PORT"),
        ("127.0.0.1:0", False, "no port 0"),
    ],
)
def test_the_rest_is_refused(listen: str, anywhere: bool, said: str) -> None:  # noqa: FBT001 - a table
    with pytest.raises(RequestInvalid, match=said) as error:
        parse(listen, anywhere=anywhere)
    assert error.value.hint
