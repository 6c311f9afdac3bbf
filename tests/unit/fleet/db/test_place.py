"""Where the tables are: kept for the commands beside the server, and never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet.db import place
from forebay_fleet.errors import FleetError, StoreAway, StoreFailed, UsageError
from forebay_fleet.registry import Registry, there
from forebay_fleet.store.reader import StoreReader
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

URL = "postgresql://someone:opensesame@db.example.org:5433/fleet?sslmode=verify-full"


def test_an_address_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    assert place.address(directory) is None
    assert not there(directory)
    place.move(directory, URL)
    assert place.address(directory) == URL
    assert there(directory)
    assert (directory / place.FILE).stat().st_mode & 0o777 == 0o600
    assert {path.name for path in directory.iterdir()} == {place.FILE}
    assert place.shown(URL) == "db.example.org:5433/fleet"
    assert place.shown("postgresql:///fleet?host=/run/postgresql&password=x") == "local/fleet"


@pytest.mark.parametrize(
    "text",
    [
        "opensesame",
        "mysql://a:opensesame@b/c",
        "postgresql://a:opensesame@b/c d",
        "postgresql://[opensesame/x",
        "postgresql://a:opensesame@b/c\nx",
        f"postgresql://a:opensesame@b/{'c' * 2_000}",
        "",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as found:
        place.move(tmp_path, text)
    assert "opensesame" not in f"{found.value}{found.value.hint}"
    (tmp_path / place.FILE).write_text(text, encoding="utf-8")
    if text.strip() != text or "\n" not in text:
        with pytest.raises(UsageError):
            Registry(tmp_path)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / place.FILE).write_bytes(b"postgresql://\xff")
    with pytest.raises(StoreFailed):
        place.address(tmp_path)


@pytest.mark.parametrize("name", [place.SQLITE, place.REGISTRY])
def test_tables_in_sqlite_are_not_forgotten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="SQLite"):
        place.move(tmp_path, URL)
    assert place.address(tmp_path) is None
    place.remember(tmp_path / "other", URL)
    (tmp_path / "other" / name).touch()
    place.move(tmp_path / "other", URL)  # what it uses already is nothing new


def test_who_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    place.remember(tmp_path, f"postgresql://someone:opensesame@127.0.0.1:{free_port()}/fleet")
    for use in (Registry, StoreReader):
        with pytest.raises(FleetError) as found:
            use(tmp_path)
        assert isinstance(found.value, StoreAway)
        assert "opensesame" not in str(found.value)
        assert "is PostgreSQL running" in found.value.hint


def test_a_setting_that_libpq_does_not_know_is_told_without_the_password(tmp_path: Path) -> None:
    place.remember(tmp_path, "postgresql://someone:opensesame@127.0.0.1/fleet?colour=opensesame")
    with pytest.raises(FleetError) as found:
        Registry(tmp_path)
    assert "opensesame" not in f"{found.value}{found.value.hint}"
