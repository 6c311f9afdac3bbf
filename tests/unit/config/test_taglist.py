"""Tag lists: what spreadsheets export, where each fault is said to be, how large a list may be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config import taglist
from forebay.config.taglist import TagList, parse_csv, read_tables
from support.fake_adapters import FakeTag


def parsed(text: str) -> TagList:
    return parse_csv(text, "t.csv", FakeTag)


def lines(text: str) -> list[str]:
    return [str(fault) for fault in parsed(text).faults]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(separator: str, end: str) -> None:
    rows = ["name,address,type,bit", "a,1,int16,", "b,2,int32,3", ""]
    found = parsed(end.join(rows).replace(",", separator))
    assert not found.faults
    assert [(tag.name, tag.model_dump()["bit"]) for tag in found.tags.values()] == [
        ("a", None),
        ("b", 3),
    ]


def test_places_count_every_line() -> None:
    text = "# one\n\nname,address,type\n# four\n\na,1,int16\na,2,int16\n"
    assert lines(text) == [
        (
            "t.csv:7 name: the tag 'a' is already defined at t.csv:6"
            " (give each tag of a device its own name)"
        )
    ]


def test_a_comment_is_a_line_not_a_name() -> None:
    found = parsed('name,address,type\n#a,1,int16\n"#b",1,int16\n')
    assert list(found.tags) == ["#b"]


def test_a_cell_may_not_go_on_in_the_next_line() -> None:
    found = parsed('name,address,type\n"a\nb",1,int16\nc,1,int16\n')
    assert [fault.path for fault in found.faults] == ["t.csv:2"]
    assert list(found.tags) == ['b"', "c"]


def test_a_cell_without_a_column_is_a_fault() -> None:
    assert [fault.path for fault in parsed("name,address,type,\na,1,int16,x\n").faults] == [
        "t.csv:2"
    ]


def test_columns_of_the_driver_are_known() -> None:
    assert lines("name,address,type,bitt\n") == [
        "t.csv:1: unknown column 'bitt' (did you mean 'bit'?)"
    ]


def test_the_fault_names_row_and_column() -> None:
    assert lines("name,address,type,bit\na,1,int16,16\n") == [
        "t.csv:2 bit: must be from 0 to 15, not '16' (correct it: A bit of it)"
    ]


def test_faults_stop_before_they_bury_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name,address,type\n" + "a b,1 2,int16\n" * 1000
    found = parsed(text).faults
    assert len(found) == taglist.MAX_FAULTS + 1
    assert str(found[-1]).startswith("t.csv:202: the rest is not checked after 200 faults")


def test_a_list_has_an_end() -> None:
    rows = "".join(f"{n},1,bool\n" for n in range(taglist.MAX_TAGS + 1))
    found = parsed("name,address,type\n" + rows)
    assert len(found.tags) == taglist.MAX_TAGS
    assert [str(fault) for fault in found.faults] == [
        "t.csv:100002: more than 100,000 tags in one list (split the device into several)"
    ]


def test_ten_thousand_tags_load_in_about_a_second() -> None:
    """Measured at 0.1 s; the bound leaves room for a slow and busy machine."""
    rows = "".join(f"tag {n},{n},float32,kW,0.1,text\n" for n in range(10_000))
    started = time.process_time()
    found = parsed("name,address,type,unit,scale,description\n" + rows)
    assert time.process_time() - started < 2
    assert len(found.tags) == 10_000


def test_tables_of_the_main_file() -> None:
    rows = [{"name": "a", "address": "1", "type": "bool"}, {"name": "a", "adress": "2"}]
    found = read_tables(rows, "devices.plc.tags", FakeTag)
    assert list(found.tags) == ["a"]
    assert found.place("a", "group") == "devices.plc.tags[0].group"
    assert [fault.path for fault in found.faults] == [
        "devices.plc.tags[1].address",
        "devices.plc.tags[1].type",
        "devices.plc.tags[1].adress",
    ]


@given(st.text())
def test_any_text_gives_tags_or_faults(text: str) -> None:
    for full in (text, "name,address,type\n" + text):
        found = parsed(full)
        assert found.tags or found.faults
        assert all(str(fault).isprintable() for fault in found.faults)


_cell = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(st.dictionaries(_cell, st.tuples(_cell, st.floats(allow_nan=False, allow_infinity=False))))
def test_what_is_written_is_read(rows: dict[str, tuple[str, float]]) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    text = "name,address,type,scale\n" + "".join(
        f"{quoted(name)},{quoted(address)},int16,{scale!r}\n"
        for name, (address, scale) in rows.items()
    )
    found = parsed(text)
    assert {t.name: (t.address, t.scale) for t in found.tags.values()} == rows
