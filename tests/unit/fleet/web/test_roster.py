"""The list of boxes: what is found, in which order, and what nobody needs to look at."""

from __future__ import annotations

import pytest

from forebay_fleet.web.roster import KINDS, ORDERS, Standing, Wish, shown

WELL = Standing(
    *("a", "online", 1, "1"),
    healthy=True,
    ill=0,
    buffer_s=1.0,
    full_in_s=0.0,
    phase="committed",
    labels={},
    alarms=0,
)
ROWS = [
    WELL._replace(name="ulm-1", labels={"line": "3", "site": "Ulm"}),
    WELL._replace(name="ulm-2", state="offline", buffer_s=90.0, seen_ns=0),
    WELL._replace(name="lyon-1", ill=2, healthy=False, full_in_s=100.0),
    WELL._replace(name="lyon-2", full_in_s=3600.0, labels={"line": "13"}),
    WELL._replace(name="porto-1", state="locked", alarms=1),
    WELL._replace(name="porto-2", state="never", seen_ns=0),
]


def names(**wish: object) -> list[str]:
    return [row.name for row in shown(ROWS, Wish(**wish)).rows]  # type: ignore[arg-type]


def test_sums_are_of_the_whole_fleet_whatever_is_looked_for() -> None:
    sums = {"all": 6, "online": 3, "offline": 1, "ill": 2, "alarms": 1}
    assert shown(ROWS, Wish(text="nothing")).sums == sums
    assert set(sums) == set(KINDS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ulm", ["ulm-1", "ulm-2"]),
        ("line=3", ["ulm-1"]),
        ("LINE=3 site=ulm", ["ulm-1"]),
        ("3", ["lyon-2", "ulm-1"]),
        ("line", ["lyon-2", "ulm-1"]),
        ("line=", []),
        ("ulm lyon", []),
    ],
)
def test_a_word_is_in_the_name_or_a_label(text: str, found: list[str]) -> None:
    if text == "line=":
        rows = shown(ROWS, Wish(text=text)).rows
        assert {"ulm-1", "lyon-2"}.isdisjoint(row.name for row in rows)
    else:
        assert names(text=text) == found


def test_pages_follow_one_another_in_every_order() -> None:
    for order in ORDERS:
        for descending in (False, True):
            pages = [
                shown(ROWS, Wish(order=order, descending=descending, page=page, size=4))
                for page in range(2)
            ]
            assert [page.total for page in pages] == [6, 6]
            assert sorted(row.name for page in pages for row in page.rows) == sorted(
                row.name for row in ROWS
            )


def test_what_needs_a_look_comes_first_where_it_is_asked_for() -> None:
    assert names(kind="ill") == ["lyon-1", "lyon-2"]
    assert names(order="full")[:2] == ["lyon-1", "lyon-2"]
    assert names(order="health")[0] == "lyon-1"
    assert names(order="buffer", descending=True)[0] == "ulm-2"


def test_a_wish_that_makes_no_sense_is_the_usual_one() -> None:
    assert names(kind="nonsense", order="nonsense") == sorted(row.name for row in ROWS)
    assert names(page=99) == []
