"""What becomes of an archive that is offered as an agent."""

from __future__ import annotations

import errno
import json
import subprocess
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from forebay.errors import RequestFailed, RequestInvalid
from forebay.launcher import whole
from forebay.management import filling
from support.slots import package

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("package") / "good.tar", "9.1.0")


def test_a_slot_is_whole_and_says_its_version(tmp_path: Path, good: Path) -> None:
    assert filling.fill(tmp_path, "a", good, None) == "9.1.0"
    assert whole.check(tmp_path / "a") == "9.1.0"
    told = json.loads((tmp_path / "a" / whole.WHOLE).read_text())
    assert told["archive"] == filling.digest(good)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a"]


def test_what_python_compiles_meanwhile_is_no_damage_and_all_else_is(
    tmp_path: Path, good: Path
) -> None:
    filling.fill(tmp_path, "a", good, None)
    package_ = tmp_path / f"a/lib/python{filling.python()}/site-packages/forebay"
    (package_ / "__pycache__").mkdir(exist_ok=True)
    (package_ / "__pycache__/model.cpython-311.pyc").write_bytes(b"compiled")
    whole.check(tmp_path / "a")
    (package_ / "more.py").write_text("")
    with pytest.raises(whole.Damaged, match=r"more\.py"):
        whole.check(tmp_path / "a")
    (package_ / "more.py").unlink()
    (package_ / "model.py").unlink()
    with pytest.raises(whole.Damaged, match=r"1 files, the first is .*model\.py"):
        whole.check(tmp_path / "a")


def test_what_python_compiled_runs_only_as_it_was_when_the_slot_was_filled(
    tmp_path: Path, good: Path
) -> None:
    """Python runs what lies there without a look at the source, which alone was held to a hash."""
    filling.fill(tmp_path, "a", good, None)
    home = tmp_path / f"a/lib/python{filling.python()}/site-packages/forebay"
    (rotten,) = (home / "__pycache__").glob("errors.*.pyc")
    (fine,) = (home / "__pycache__").glob("model.*.pyc")
    foreign = rotten.with_name("errors.cpython-311.opt-1.pyc")
    words = (tmp_path / "a/bin/python", "-I", "-c", "import forebay.errors; print(7)")
    data = bytearray(rotten.read_bytes())
    data[20] ^= 0xFF
    rotten.write_bytes(data)
    foreign.write_bytes(data)
    assert subprocess.run(words, check=False, capture_output=True).stdout == b""
    assert whole.check(tmp_path / "a") == "9.1.0"
    whole.drop_compiled(tmp_path / "a")
    assert (rotten.exists(), foreign.exists(), fine.exists()) == (False, False, True)
    assert subprocess.run(words, check=False, capture_output=True).stdout == b"7\n"
    (tmp_path / "a" / whole.WHOLE).write_text('{"version": "9.1.0", "files": {}}')
    whole.drop_compiled(tmp_path / "a")  # of an agent that made no such list
    assert fine.exists()


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 1, "files": 7}', "\x00"])
def test_without_its_list_a_slot_is_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(whole.Damaged):
        whole.check(tmp_path / "a")
    (tmp_path / "a" / whole.WHOLE).write_text(damage)
    with pytest.raises(whole.Damaged):
        whole.check(tmp_path / "a")


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"machine": "riscv128"}, "on riscv128"),
        ({"python": "2.7"}, "for Python 2.7"),
        ({"name": "another"}, "does not hold the gateway"),
        ({"version": "9.9.9"}, "should say that it is 9.9.9"),
    ],
)
def test_what_is_for_another_machine_is_refused(
    tmp_path: Path, about: dict[str, str], reason: str
) -> None:
    (tmp_path / "slots").mkdir()
    wrong = package(tmp_path / "wrong.tar", "9.1.0", about=about)
    with pytest.raises(RequestInvalid, match=reason):
        filling.fill(tmp_path / "slots", "a", wrong, None)
    assert list((tmp_path / "slots").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08 broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "none.tar").write_bytes(content)
    with pytest.raises(RequestInvalid):
        filling.fill(tmp_path / "slots", "a", tmp_path / "none.tar", None)


def test_an_archive_without_anything_about_it_is_refused(tmp_path: Path, good: Path) -> None:
    with tarfile.open(tmp_path / "bare.tar", "w") as tar:
        tar.add(good, "site-packages/x")
    with pytest.raises(RequestInvalid, match=r"agent\.json"):
        filling.fill(tmp_path / "slots", "a", tmp_path / "bare.tar", None)


def test_a_version_that_cannot_load_what_runs_is_refused(tmp_path: Path, good: Path) -> None:
    config = tmp_path / "forebay.toml"
    config.write_text("[gateway]\nid = 7\n")
    with pytest.raises(RequestInvalid, match="`forebay check` of it failed"):
        filling.fill(tmp_path / "slots", "a", good, config)


def test_a_version_that_ends_badly_or_never_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = package(tmp_path / "broken.tar", "9.1.0", {"cli/main.py": "raise SystemExit(3)"})
    with pytest.raises(RequestInvalid, match="`forebay --version` of it failed"):
        filling.fill(tmp_path / "slots", "a", broken, None)
    monkeypatch.setattr(filling, "TRY_S", 0.5)
    late = package(tmp_path / "late.tar", "9.1.0", {"__init__.py": "while True: pass"})
    with pytest.raises(RequestInvalid, match="did not end"):
        filling.fill(tmp_path / "slots", "a", late, None)


def test_the_slot_keeps_what_it_has_where_there_is_no_room(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling.fill(tmp_path, "a", good, None)
    monkeypatch.setattr(filling, "ROOM", 1 << 40)
    with pytest.raises(RequestFailed, match="are free"):
        filling.fill(tmp_path, "a", good, None)
    monkeypatch.setattr(filling, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(RequestInvalid, match="larger"):
        filling.fill(tmp_path, "a", good, None)
    assert whole.check(tmp_path / "a") == "9.1.0"


def test_what_grows_beyond_the_disk_is_not_begun_with(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may be a hundredth of what is in it; the journal lives on the same disk."""
    small = tmp_path / "small.tar.gz"
    with tarfile.open(small, "w:gz") as tar:
        info = tarfile.TarInfo("site-packages/zeros")
        info.size = 64 << 20
        with open("/dev/zero", "rb") as zeros:  # noqa: PTH123 - no file of this test's
            tar.addfile(info, zeros)
    free = filling.ROOM * small.stat().st_size + (64 << 20)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: SimpleNamespace(total=1 << 40, used=0, free=free)
    )
    (tmp_path / "slots").mkdir()
    with pytest.raises(RequestFailed, match="64 MiB must stay free"):
        filling.fill(tmp_path / "slots", "a", small, None)
    assert list((tmp_path / "slots").iterdir()) == []


def test_what_a_kill_left_takes_no_room_from_the_next(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers = [tmp_path / name for name in (".a.new", ".b.new", ".b.old")]
    for one in leftovers:
        (one / "unpacked").mkdir(parents=True)

    def usage(_: object) -> SimpleNamespace:
        free = 0 if any(one.exists() for one in leftovers[1:]) else 1 << 40
        return SimpleNamespace(total=1 << 40, used=0, free=free)

    monkeypatch.setattr("shutil.disk_usage", usage)
    assert filling.fill(tmp_path, "a", good, None) == "9.1.0"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a"]


def test_a_slot_that_cannot_be_replaced_keeps_what_it_has(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling.fill(tmp_path, "a", good, None)
    rename = type(tmp_path).rename

    def refusing(path: Path, target: Path) -> Path:
        if path.name == ".a.new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", refusing)
    with pytest.raises(RequestFailed, match="Input/output"):
        filling.fill(tmp_path, "a", package(tmp_path / "next.tar", "9.2.0"), None)
    assert whole.check(tmp_path / "a") == "9.1.0"
