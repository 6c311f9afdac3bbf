"""Which files a configuration is, and what can be none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config.bundle import (
    MAIN,
    MAX_BYTES,
    MAX_FILE_BYTES,
    File,
    check_files,
    config_hash,
    described,
    gather,
)
from forebay.errors import ConfigError, RequestInvalid
from support.fuzz import examples

GOOD = File(MAIN, b"\1" * 32, 10)


def test_the_hash_is_that_of_the_protocol() -> None:
    """As fleet.proto says it: path, zero, hash in hex, line feed, in the order of the paths."""
    contents = {"press.csv": b"name,address\n", MAIN: b"[gateway]\n"}
    lines = [
        f"{path}\0{hashlib.sha256(contents[path]).hexdigest()}\n" for path in (MAIN, "press.csv")
    ]
    expected = hashlib.sha256("".join(lines).encode()).digest()
    assert config_hash(described(contents)) == expected
    assert config_hash(reversed(described(contents))) == expected


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../b", ".hidden", "a/.b", "a//b", "a/", "a b", "ä", "a\nb",
     "/".join("a" * 9), "x" * 600, "a\0b"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(RequestInvalid):
        check_files([GOOD, File(path, b"\1" * 32, 1)])


def test_what_is_no_configuration_is_refused() -> None:
    check_files([GOOD, File("conf.d/press.toml", b"\1" * 32, 1), File("a/b/c.csv", b"\1" * 32, 0)])
    many = [File(f"f{n}", b"\1" * 32, MAX_FILE_BYTES) for n in range(MAX_BYTES // MAX_FILE_BYTES)]
    for files in (
        [],
        [File("press.csv", b"\1" * 32, 1)],
        [GOOD, GOOD],
        [GOOD, File("a", b"\1" * 31, 1)],
        [GOOD, File("a", b"\1" * 32, -1)],
        [GOOD, File("a", b"\1" * 32, MAX_FILE_BYTES + 1)],
        [GOOD, *many],
        [GOOD, *(File(f"f{n}", b"\1" * 32, 0) for n in range(3_000))],
        [GOOD, File("a", b"\1" * 32, 1), File("a/b", b"\1" * 32, 1)],
        [GOOD, File("a/b", b"\1" * 32, 1), File("a/b/c", b"\1" * 32, 1)],
    ):
        with pytest.raises(RequestInvalid):
            check_files(files)


@given(st.text(max_size=40))
@examples(200)
def test_no_path_that_is_taken_leads_out_of_its_directory(path: str) -> None:
    try:
        check_files([GOOD, File(path, b"\1" * 32, 1)])
    except RequestInvalid:
        return
    base = Path("/base")
    assert (base / path).resolve().is_relative_to(base)
    assert "\0" not in path


def test_what_is_named_by_a_relative_path_goes_along(tmp_path: Path) -> None:
    main = tmp_path / "press-hall.toml"
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "keys").mkdir()
    files = {
        "press.csv": "name\n",
        "keys/ca.pem": "-----BEGIN",
        "conf.d/oven.toml": '[devices.oven]\ntags = "./oven.csv"\n',
        "oven.csv": "name\n",
        "stranger.csv": "name\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    main.write_text(
        f'[devices.press]\ntags = "press.csv"\nwhere = "keys"\n[uplinks.cloud]\n'
        f'ca = "keys/ca.pem"\ncert = "{tmp_path}/stranger.csv"\nlist = ["no.csv", "press.csv"]\n',
        encoding="utf-8",
    )
    found = gather(main)
    assert sorted(found) == ["conf.d/oven.toml", MAIN, "keys/ca.pem", "oven.csv", "press.csv"]
    assert found[MAIN] == main.read_bytes()


def test_what_cannot_go_along_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "shared.csv").write_text("name\n", encoding="utf-8")
    main = tmp_path / "etc" / MAIN
    main.write_text('[devices.press]\ntags = "../shared.csv"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        gather(main)
    (fault,) = caught.value.faults
    assert (fault.path, "absolute path" in fault.hint) == ("devices.press.tags", True)
    with pytest.raises(ConfigError):
        gather(tmp_path / "none.toml")
