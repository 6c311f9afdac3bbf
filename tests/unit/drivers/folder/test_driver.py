"""A real folder on a real disk: each file is taken once, whole, and put away as it is told."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from forebay.drivers.folder import SPEC
from forebay.drivers.folder.chunks import schema as chunk_schema
from forebay.errors import DeviceUnreachable
from forebay.events import FILE_REFUSED, FILE_TAKEN
from forebay.interfaces import DeviceSpec
from forebay.model import Schema, Stream, ValueType
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from forebay.drivers.folder.driver import FolderDriver
    from forebay.interfaces import Seams
    from forebay.model import Batch

PATIENCE_S = 30.0


class Taking:
    """What a driver gave: pieces by file id, and rows."""

    def __init__(self, driver: FolderDriver) -> None:
        self.driver = driver
        self.pieces: dict[str, list[dict[str, Any]]] = {}
        self.rows: list[Batch] = []

    def take(self, batch: Batch) -> None:
        if batch.stream is Stream.TELEMETRY:
            self.rows.append(batch)
            return
        piece = {sample.tag.name: sample.value for sample in batch.iter_samples()}
        self.pieces.setdefault(str(piece["id"]), []).append(piece)

    def files(self) -> dict[str, bytes]:
        """Give each whole file by `name id`."""
        out = {}
        for found in self.pieces.values():
            data = bytearray(found[0]["total"])
            for piece in found:
                data[piece["offset"] : piece["offset"] + len(piece["data"])] = piece["data"]
            if hashlib.sha256(data).hexdigest() == found[0]["sha256"]:
                out[f"{found[0]['file']} {found[0]['id']}"] = bytes(data)
        return out

    def named(self, name: str) -> list[bytes]:
        return [data for key, data in self.files().items() if key.rpartition(" ")[0] == name]


def make(
    tmp_path: Path, tags: list[dict[str, Any]] | None = None, /, **settings: Any
) -> tuple[FolderDriver, Seams, tuple[Schema, ...]]:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    seams = system_seams()
    rows = [SPEC.tag.model_validate(row) for row in tags or []]
    schemas = (Schema("cam", "default", tuple(r.to_tag() for r in rows)),) if rows else ()
    given = {"look": 0.05, "settle": 0, "chunk": 4096, **settings}
    checked = SPEC.settings.model_validate(
        {"protocol": "folder", "directory": folder, "tags": (), **given}
    )
    spec = DeviceSpec("cam", checked, schemas, {r.name: r for r in rows}, tmp_path / "state")
    from forebay.drivers.folder.driver import FolderDriver

    return FolderDriver(spec, seams), seams, schemas


@asynccontextmanager
async def taking(driver: FolderDriver, schemas: tuple[Schema, ...] = ()) -> AsyncIterator[Taking]:
    taken = Taking(driver)
    await driver.connect()

    async def listen() -> None:
        async for batch in driver.stream(dict.fromkeys(schemas, 1.0)):
            taken.take(batch)

    task = asyncio.create_task(listen(), name="listen")
    try:
        yield taken
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DeviceUnreachable):
            await task
        await driver.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is on the disk is seen from outside only
            await asyncio.sleep(0.01)


async def test_each_file_comes_once_whole_and_again_when_it_is_rewritten(tmp_path: Path) -> None:
    driver, seams, _ = make(tmp_path)
    big, folder = os.urandom(50_000), tmp_path / "in"
    async with taking(driver) as taken:
        (folder / "a.jpg").write_bytes(big)
        (folder / "same.jpg").write_bytes(big)
        (folder / "empty").write_bytes(b"")
        (folder / "x.part").write_bytes(b"half")
        await until(lambda: seams.events.count(FILE_TAKEN) == 3)
        assert taken.named("a.jpg") == taken.named("same.jpg") == [big]
        assert taken.named("empty") == [b""]
        (folder / "a.jpg").write_bytes(b"new")
        await until(lambda: seams.events.count(FILE_TAKEN) == 4)
        os.utime(folder / "same.jpg")  # touched, not written
        (folder / "last").write_bytes(b"1")
        await until(lambda: seams.events.count(FILE_TAKEN) >= 5)
        assert taken.named("last") == [b"1"]
        assert sorted(taken.named("a.jpg")) == sorted([big, b"new"])
    assert not [k for k in taken.files() if k.startswith("x.part")]
    assert seams.events.count(FILE_TAKEN) == 5
    assert all(len(p["data"]) <= 4096 for found in taken.pieces.values() for p in found)

    again, seams, _ = make(tmp_path)
    async with taking(again) as taken:
        (folder / "later").write_bytes(b"2")
        await until(lambda: taken.named("later"))
    assert list(taken.files()) == [key for key in taken.files() if key.startswith("later ")]


@pytest.mark.parametrize("after", ["move", "delete"])
async def test_what_was_taken_is_put_away(tmp_path: Path, after: str) -> None:
    driver, seams, _ = make(tmp_path, after=after, marker=".ok")
    folder = tmp_path / "in"
    async with taking(driver) as taken:
        for turn in (b"one", b"two"):
            (folder / "p.jpg").write_bytes(turn)
            (folder / "unmarked.jpg").write_bytes(b"no")
            (folder / "p.jpg.ok").touch()
            await until(lambda: not (folder / "p.jpg").exists())
            await until(lambda: not (folder / "p.jpg.ok").exists())
        assert taken.named("p.jpg") == [b"one", b"two"]
    assert (folder / "unmarked.jpg").exists()
    kept = [p.read_bytes() for p in (folder / "done").iterdir()] if after == "move" else []
    assert sorted(kept) == ([b"one", b"two"] if after == "move" else [])
    assert seams.events.count(FILE_TAKEN) == 2


async def test_what_may_not_be_taken_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    driver, seams, _ = make(tmp_path, max_size=1000)
    folder, secret = tmp_path / "in", tmp_path / "secret"
    secret.write_bytes(b"secret")
    (folder / "link").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    (folder / "large").write_bytes(bytes(1001))
    odd = os.fsdecode(b"na\xffme \n.jpg")
    (folder / odd).write_bytes(b"odd")
    async with taking(driver) as taken:
        await until(lambda: taken.named("na\\xffme \n.jpg") == [b"odd"])
        (folder / "next").write_bytes(b"next")
        await until(lambda: taken.named("next"))
        assert seams.events.count(FILE_REFUSED) == 3
        assert b"secret" not in taken.files().values()


async def test_it_goes_on_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """The consumer ends after some pieces, as a kill would: what was asked behind is durable."""
    data = os.urandom(64 * 4096)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "film").write_bytes(data)
    pieces: list[dict[str, Any]] = []
    for most in (10, 11, 111):
        driver, _, _ = make(tmp_path)
        await driver.connect()
        stream = driver.stream({})
        async with asyncio.timeout(PATIENCE_S):
            async for batch in stream:
                pieces.append({s.tag.name: s.value for s in batch.iter_samples()})
                if len(pieces) == most or pieces[-1]["offset"] + 4096 == len(data):
                    break
        await stream.aclose()  # type: ignore[attr-defined]
        await driver.close()
    offsets = [piece["offset"] for piece in pieces]
    assert sorted(set(offsets)) == list(range(0, len(data), 4096))
    assert len(offsets) - len(set(offsets)) == 2, "the last piece of each life came twice"
    assert len({piece["id"] for piece in pieces}) == 1
    whole = {piece["offset"]: piece["data"] for piece in pieces}
    assert b"".join(whole[n] for n in sorted(whole)) == data


async def test_a_table_gives_its_rows(tmp_path: Path) -> None:
    tags: list[dict[str, Any]] = [
        {"name": "force", "address": "F [N]", "type": "float32", "scale": 2.0},
        {"name": "ok", "address": "ok", "type": "bool"},
        {"name": "n", "address": "n", "type": "int8"},
        {"name": "who", "address": "who", "type": "string"},
        {"name": "gone", "address": "gone", "type": "int32"},
    ]
    driver, _, schemas = make(tmp_path, tags, separator=";", decimal=",", time_column="t")
    lines = ["\ufefft;F [N];ok;n;who"]
    lines += [f'2026-01-01T00:00:{n % 60:02};{n},5;yes;{n % 100};"a;{n}"' for n in range(3000)]
    lines += ["nonsense;x;maybe;300;z", ""]
    (tmp_path / "in" / "t.csv").write_text("\r\n".join(lines), encoding="utf-8")
    async with taking(driver, schemas) as taken:
        await until(lambda: sum(batch.rows for batch in taken.rows) == 3001)
    samples = [list(batch.iter_samples()) for batch in taken.rows]
    flat = [sample for some in samples for sample in some]
    force = [s for s in flat if s.tag.name == "force"]
    assert [s.value for s in force[:3]] == [1.0, 3.0, 5.0]
    assert force[61].time_ns == 1_767_225_601_000_000_000
    assert [s.value for s in flat if s.tag.name == "who"][7] == "a;7"
    assert {s.quality for s in flat if s.tag.name == "gone"} == {0x809B_0000}
    last = {s.tag.name: (s.value, s.quality) for s in flat[-5:]}
    assert last["force"] == last["ok"] == (None, 0x8007_0000)
    assert last["n"] == (None, 0x803C_0000)
    assert last["who"] == ("z", 0x4000_0000), "nobody knows when"


async def test_a_folder_that_is_not_there_or_is_exchanged_is_unreachable(tmp_path: Path) -> None:
    driver, _, _ = make(tmp_path)
    (tmp_path / "in").rename(tmp_path / "away")
    with pytest.raises(DeviceUnreachable) as caught:
        await driver.connect()
    assert "make the folder" in caught.value.hint
    await driver.close()
    driver, _, _ = make(tmp_path)
    await driver.connect()
    stream = driver.stream({})
    task = asyncio.ensure_future(anext(stream))
    (tmp_path / "in").rename(tmp_path / "once")
    (tmp_path / "away").rename(tmp_path / "in")
    with pytest.raises(DeviceUnreachable, match=r"another folder|cannot be looked into"):
        await task
    await driver.close()


async def test_one_process_takes_from_a_folder(tmp_path: Path) -> None:
    one, other = make(tmp_path)[0], make(tmp_path)[0]
    await one.connect()
    with pytest.raises(DeviceUnreachable, match="another process"):
        await other.connect()
    await one.close()
    await other.connect()
    await other.close()


def test_the_columns_of_a_piece_are_as_documented() -> None:
    tags = chunk_schema("cam").tags
    assert [tag.name for tag in tags] == ["file", "id", "sha256", "offset", "total", "data"]
    assert tags[-1].type is ValueType.BYTES
