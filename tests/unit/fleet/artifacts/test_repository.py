"""The repository of people: what it refuses, and what stays when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet.artifacts import repository
from forebay_fleet.errors import UsageError
from support.packages import YEAR_S, Signers, archive

if TYPE_CHECKING:
    from pathlib import Path


def test_a_list_that_no_box_would_take_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signers = Signers(tmp_path / "people", tmp_path / "data")
    made = archive(tmp_path / "1.tar.gz", {"x": b"1"})
    signers.add(made, "plugin", "echo", "1")
    size = max(one.stat().st_size for one in signers.repository.home.glob("*.json"))
    monkeypatch.setattr(repository, "MAX_METADATA_BYTES", size + 10)

    def fill() -> None:
        for version in range(2, 99):
            signers.repository.add(made, "plugin", "echo", str(version), YEAR_S)

    with pytest.raises(UsageError, match="would be larger") as caught:
        fill()
    assert "remove" in caught.value.hint
    assert signers.repository.artifacts(), "it can be read as before"


def test_a_disk_that_does_not_take_an_archive_is_told(tmp_path: Path) -> None:
    signers = Signers(tmp_path / "people", tmp_path / "data")
    made = archive(tmp_path / "1.tar.gz", {"x": b"1"})
    (signers.repository.home / repository.TARGETS_FOLDER).write_bytes(b"no folder")
    with pytest.raises(UsageError, match="exists") as caught:
        signers.repository.add(made, "plugin", "echo", "1", YEAR_S)
    assert caught.value.hint
    assert signers.repository.artifacts() == []
