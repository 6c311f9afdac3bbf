"""Files before they are tables: sizes, kinds, encodings, and how `conf.d` is joined."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from forebay.config.sources import MAX_FRAGMENTS, MAX_TOML_BYTES, Sources, read_sources, read_text
from forebay.errors import Fault

if TYPE_CHECKING:
    from pathlib import Path


def fault(path: Path, limit_bytes: int = 100) -> str:
    found = read_text(path, path.name, limit_bytes)
    assert isinstance(found, Fault)
    return str(found)


def test_the_limit_is_the_last_size_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert read_text(path, "a", 100) == "x" * 100
    assert fault(path, 99) == "a: is larger than 0 MiB (split it into several smaller files)"


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfx")
    assert read_text(path, "a", 100) == "x"


def test_the_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x\n\xff\xfe\n")
    assert fault(path).startswith("a:2: is not UTF-8 text")


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    assert fault(tmp_path).endswith("is a directory (name a file)")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert fault(loop).startswith("loop: cannot be read: ")
    assert fault(tmp_path / "a\0b").startswith("a\0b: cannot be read: ")
    assert fault(tmp_path / ("n" * 300)).endswith("(correct the path)")


def test_tables_are_joined_and_keys_are_not() -> None:
    sources = Sources()
    sources.add({"a": {"b": 1, "c": {"d": 2}}}, "one")
    sources.add({"a": {"c": {"e": 3}, "f": 4}, "g": [1]}, "two")
    sources.add({"a": {"b": 5}, "g": [2], "h": 1}, "three")
    sources.add({"a": 6, "h": {"i": 7}}, "four")
    assert sources.tables == {"a": {"b": 1, "c": {"d": 2, "e": 3}, "f": 4}, "g": [1], "h": 1}
    assert [(f.path, f.message) for f in sources.faults] == [
        ("a.b", "is set in one and in three"),
        ("g", "is set in two and in three"),
        ("a", "is set in one and in four"),
        ("h", "is set in three and in four"),
    ]


def test_fragments_are_read_in_name_order_and_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    main = tmp_path / "forebay.toml"
    main.write_text("", encoding="utf-8")
    for name in ("b.toml", "a.toml", "c.txt"):
        (folder / name).write_text("x = 1", encoding="utf-8")
    (found,) = read_sources(main).faults
    assert found.message == "is set in conf.d/a.toml and in conf.d/b.toml"
    for number in range(MAX_FRAGMENTS):
        (folder / f"f{number}.toml").write_text("", encoding="utf-8")
    assert "conf.d: has more than 1000 files (join some of them)" in map(
        str, read_sources(main).faults
    )


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        "x = " + "{a=" * 5000,
        ".".join("a" * 500_000) + " = 1",
        "x = {" + ".".join("a" * 500_000) + " = 1}",
        "[" + " . ".join(['"a"'] * 100_000) + "]",
    ],
    ids=["arrays", "tables", "key", "inline key", "header"],
)
def test_depth_is_bounded(tmp_path: Path, text: str) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text(text, encoding="utf-8")
    assert len(text) < MAX_TOML_BYTES
    (found,) = read_sources(path).faults
    assert found.path.startswith("forebay.toml")


@pytest.mark.parametrize("text", ["\n" * MAX_TOML_BYTES, ('a,"' * MAX_TOML_BYTES)[:MAX_TOML_BYTES]])
def test_a_strange_file_is_judged_in_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text(text, encoding="utf-8")
    started = time.process_time()
    read_sources(path)
    assert time.process_time() - started < 5
