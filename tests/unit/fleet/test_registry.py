"""The registry: one file, changed by a server and by commands beside it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.errors import StoreError, StoreFailed
from forebay_fleet.registry import FILE, Registry, RegistryThread

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_told_is_known_later(tmp_path: Path) -> None:
    with Registry(tmp_path / "data") as registry:
        assert registry.fact("pin") is None
        registry.tell("pin", "00")
        registry.tell("pin", "01")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    with Registry(tmp_path / "data") as registry:
        assert registry.fact("pin") == "01"


def test_the_change_of_another_process_is_seen(data: Path) -> None:
    with Registry(data) as server, Registry(data) as command:
        assert not server.changed()
        server.tell("x", "1")
        assert not server.changed()
        command.tell("x", "2")
        assert server.changed()
        assert not server.changed()
        assert server.fact("x") == "2"


def test_nothing_is_left_of_what_failed(data: Path) -> None:
    with Registry(data) as registry:
        with suppress(KeyError), registry.transaction() as db:
            db.execute("INSERT INTO facts VALUES ('x', 'y')")
            raise KeyError
        assert registry.fact("x") is None
        with pytest.raises(StoreFailed):
            registry.rows("SELECT * FROM nowhere")
        registry.tell("x", "z")


def test_parts_bring_their_own_tables(data: Path) -> None:
    sql = "CREATE TABLE mine (a TEXT) STRICT"
    with Registry(data) as registry:
        registry.prepare("mine", 1, sql)
        registry.prepare("mine", 1, sql)
        assert registry.rows("SELECT * FROM mine") == []
        with pytest.raises(StoreError, match="version 1"):
            registry.prepare("mine", 2, sql)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"a registry is something else" * 100)
    with pytest.raises(StoreError, match="no registry"):
        Registry(tmp_path)


async def test_calls_come_one_after_the_other(data: Path) -> None:
    def count(registry: Registry) -> int:
        number = int(registry.fact("n") or 0) + 1
        registry.tell("n", str(number))
        return number

    async with RegistryThread(data) as registry:
        found = await asyncio.gather(*(registry(count) for _ in range(20)))
        assert found == [*range(1, 21)]
        with pytest.raises(StoreFailed):
            await registry(lambda r: r.rows("SELECT * FROM nowhere"))
