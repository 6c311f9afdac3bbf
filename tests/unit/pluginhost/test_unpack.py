"""What comes in as a plugin, and what does not: folders and archives, friendly and hostile."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Literal

import pytest

from forebay.errors import RequestInvalid
from forebay.pluginhost import unpack

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = b"[plugin]\n"


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    """Write a .tar.gz of files (name, bytes) and of what only a TarInfo can say."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"\0" * member.size))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def odd(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(path: Path, *members: tuple[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def named(member: tarfile.TarInfo | tuple[str, bytes]) -> str:
    return (member[0] if isinstance(member, tuple) else member.name)[:20]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    made = tmp_path / "target"
    made.mkdir()
    return made


def found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_comes_in_without_what_is_no_part_of_it(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    for name in ("plugin.toml", "src/one/__init__.py", ".git/config", "src/one/__pycache__/a.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(MANIFEST)
    (source / "run").write_bytes(b"#!/bin/sh\n")
    (source / "run").chmod(0o4775)
    (source / "venv/bin").mkdir(parents=True)
    (source / "venv/bin/python").symlink_to("/usr/bin/python3")
    unpack.take(source, target)
    assert found(target).keys() - {"venv/bin/python"} == {
        "plugin.toml",
        "src/one/__init__.py",
        "run",
    }
    assert (target / "run").stat().st_mode & 0o7777 == 0o755
    assert str((target / "venv/bin/python").readlink()) == "/usr/bin/python3"


@pytest.mark.parametrize("top", ["", "anomaly-0.1.0/"])
def test_an_archive_may_have_one_folder_around_it(tmp_path: Path, target: Path, top: str) -> None:
    files = (f"{top}plugin.toml", MANIFEST), (f"{top}src/one.py", b"x = 1\n")
    unpack.take(tar(tmp_path / "a.tar.gz", *files), target)
    assert found(target) == {"plugin.toml": MANIFEST, "src/one.py": b"x = 1\n"}
    again = tmp_path / "again"
    again.mkdir()
    unpack.take(zipped(tmp_path / "a.zip", *files), again)
    assert found(again) == found(target)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("../evil", b"x"), "leads out of it"),
        (("/etc/evil", b"x"), "leads out of it"),
        (("src/../../evil", b"x"), "leads out of it"),
        (("a\\..\\evil", b"x"), "leads out of it"),
        (("x/" * 40 + "deep", b"x"), "too long a path"),
        (("n" * 600, b"x"), "too long a path"),
        (odd("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (odd("venv/bin/python", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (odd("hard", tarfile.LNKTYPE, "plugin.toml"), "is a link"),
        (odd("fifo", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (odd("device", tarfile.CHRTYPE), "neither a file nor a folder"),
    ],
    ids=lambda value: "" if isinstance(value, str) else named(value),
)
def test_what_leads_out_of_an_archive_is_refused_before_anything_is_written(
    tmp_path: Path, target: Path, member: tarfile.TarInfo | tuple[str, bytes], why: str
) -> None:
    source = tar(tmp_path / "a.tar.gz", ("plugin.toml", MANIFEST), member)
    with pytest.raises(RequestInvalid, match=why):
        unpack.take(source, target)
    assert found(target) == {}
    assert not (tmp_path / "evil").exists()
    if isinstance(member, tuple):
        with pytest.raises(RequestInvalid, match=why):
            unpack.take(zipped(tmp_path / "a.zip", ("plugin.toml", MANIFEST), member), target)
        assert found(target) == {}


def test_a_link_in_a_zip_or_a_folder_is_refused(tmp_path: Path, target: Path) -> None:
    source = zipped(tmp_path / "a.zip", ("link", b"/etc/passwd"), mode=0o120777)
    with pytest.raises(RequestInvalid, match="neither a file nor a folder"):
        unpack.take(source, target)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(RequestInvalid, match="is a link"):
        unpack.take(folder, target)
    assert found(target) == {}


def test_size_and_count_are_limited(tmp_path: Path, target: Path) -> None:
    most = unpack.Most(entries=20, size_bytes=1 << 20)
    bomb = zipped(tmp_path / "bomb.zip", ("zeros", b"\0" * (2 << 20)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(RequestInvalid, match="larger than"):
        unpack.take(bomb, target, most)
    many = tar(tmp_path / "many.tar.gz", *((f"file-{at}", b"") for at in range(30)))
    with pytest.raises(RequestInvalid, match="more than 20 files"):
        unpack.take(many, target, most)
    assert found(target) == {}


def test_what_is_too_large_is_refused_before_all_of_it_is_decompressed(
    tmp_path: Path, target: Path
) -> None:
    """Behind the first member that is too much the archive is torn, and nobody comes there."""
    most = unpack.Most(entries=20, size_bytes=1 << 20)
    huge = tarfile.TarInfo("huge")
    huge.size = 2 << 20
    source = tar(tmp_path / "a.tar.gz", ("plugin.toml", MANIFEST), huge)
    source.write_bytes(source.read_bytes()[:-600])
    with pytest.raises(RequestInvalid, match="larger than"):
        unpack.take(source, target, most)
    assert found(target) == {}


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_name_without_end_is_not_read_into_memory(
    tmp_path: Path, target: Path, kind: bytes
) -> None:
    info = odd("name", kind)
    info.size = 64 << 20
    header = info.tobuf(tarfile.USTAR_FORMAT)
    source = tmp_path / "a.tar.gz"
    with gzip.open(source, "wb") as file:
        file.write(header + b"x" * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(RequestInvalid, match="a name in it has no end"):
            unpack.take(source, target)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_other_compressions_are_taken(tmp_path: Path, target: Path) -> None:
    modes: tuple[Literal["w:", "w:bz2", "w:xz"], ...] = ("w:", "w:bz2", "w:xz")
    for mode in modes:
        kind = mode.removeprefix("w:")
        source = tmp_path / f"a.tar.{kind}"
        with tarfile.open(source, mode) as archive:
            info = tarfile.TarInfo(f"plugin-{kind}.toml")
            info.size = len(MANIFEST)
            archive.addfile(info, io.BytesIO(MANIFEST))
        unpack.take(source, target)
    assert set(found(target).values()) == {MANIFEST}
    assert len(found(target)) == 3


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path, target: Path) -> None:
    source = zipped(tmp_path / "a.zip", ("zeros", b"\0" * 5_000))
    data = bytearray(source.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24  # uncompressed size in the central directory
    data[place : place + 4] = (10).to_bytes(4, "little")
    source.write_bytes(data)
    with pytest.raises((RequestInvalid, OSError)):
        unpack.take(source, target)
    assert sum(map(len, found(target).values())) <= 10


@pytest.mark.parametrize("data", [b"", b"no archive at all", b"PK\x03\x04 torn"])
def test_what_is_no_archive_is_refused(tmp_path: Path, target: Path, data: bytes) -> None:
    source = tmp_path / "odd.tar.gz"
    source.write_bytes(data)
    with pytest.raises(RequestInvalid, match="no folder"):
        unpack.take(source, target)


def test_a_torn_archive_is_refused(tmp_path: Path, target: Path) -> None:
    source = tar(tmp_path / "a.tar.gz", ("plugin.toml", MANIFEST), ("big", os.urandom(200_000)))
    source.write_bytes(source.read_bytes()[:100_000])
    with pytest.raises(RequestInvalid, match="no folder"):
        unpack.take(source, target)


@pytest.mark.parametrize("name", ["", ".", "a/\x1b[2J", "new\nline"])
def test_what_is_no_name_of_a_file_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    for archive in (
        tar(tmp_path / "p.tar.gz", ("plugin.toml", MANIFEST), (name, b"x")),
        zipped(tmp_path / "p.zip", ("plugin.toml", MANIFEST), (name, b"x")),
    ):
        with pytest.raises(RequestInvalid, match="no name of a file"):
            unpack.take(archive, target)
        assert list(target.iterdir()) == []


def test_a_broken_archive_is_refused(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "p.zip", ("plugin.toml", bytes(range(256)) * 400))
    data = bytearray(path.read_bytes())
    data[60:64] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(RequestInvalid):
        unpack.take(path, target)
