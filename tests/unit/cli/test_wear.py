"""How worn a disk is, by what eMMC and smartctl say of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from forebay.cli.doctor.wear import judged, wear

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.cli.doctor.finding import Finding


def emmc(folder: Path, life_time: str, pre_eol: str) -> Path:
    """Give a sysfs in which the disk below `folder` is an eMMC with one partition."""
    sysfs = folder / "sys"
    disk = sysfs / "devices/mmc0/block/mmcblk0"
    (disk / "device").mkdir(parents=True)
    (disk / "device/life_time").write_text(f"{life_time}\n")
    (disk / "device/pre_eol_info").write_text(f"{pre_eol}\n")
    (disk / "mmcblk0p2").mkdir()
    (disk / "mmcblk0p2/partition").write_text("2\n")
    number = folder.stat().st_dev
    (sysfs / "dev/block").mkdir(parents=True)
    link = sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    link.symlink_to(disk / "mmcblk0p2")
    return sysfs


def one(folder: Path, sysfs: Path) -> Finding:
    (found,) = wear(folder / "not/yet/there", sysfs)
    return found


@pytest.mark.parametrize(
    ("life_time", "pre_eol", "level", "text"),
    [
        ("0x01 0x02", "0x01", "ok", "mmcblk0 has used 20 % of what it bears"),
        ("0x09 0x01", "0x01", "warning", "mmcblk0 has used 90 %"),
        ("0x0a 0x0b", "0x02", "fault", "mmcblk0 has used 110 %"),
        ("0x02 0x02", "0x03", "fault", "mmcblk0 says that it is failing"),
        ("0x00 0x00", "0x01", "ok", "mmcblk0 is sound"),
    ],
)
def test_emmc(tmp_path: Path, life_time: str, pre_eol: str, level: str, text: str) -> None:
    found = one(tmp_path, emmc(tmp_path, life_time, pre_eol))
    assert (found.level, found.check) == (level, "disk")
    assert found.text.startswith(text)
    assert bool(found.hint) == (level != "ok")


NVME: dict[str, Any] = {
    "smart_status": {"passed": True},
    "nvme_smart_health_information_log": {"percentage_used": 7},
}
ATA: dict[str, Any] = {
    "smart_status": {"passed": False},
    "endurance_used": {"current_percent": 63},
}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (NVME, (7, False)),
        (ATA, (63, True)),
        ({"smart_status": {"passed": True}}, (None, False)),
        ({"smartctl": {"exit_status": 2}}, None),
        ([], None),
        ({"endurance_used": 5}, None),
    ],
)
def test_what_smartctl_says(told: object, found: object) -> None:
    assert judged(told) == found


def test_smartctl_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs = emmc(tmp_path, "nonsense", "0x01")
    tool = tmp_path / "bin/smartctl"
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\n[ "$4" = /dev/mmcblk0 ] || exit 2\n'
        'echo \'{"endurance_used": {"current_percent": 85}}\'\nexit 64\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    found = one(tmp_path, sysfs)
    assert (found.level, found.text) == ("warning", "mmcblk0 has used 85 % of what it bears")
    tool.write_text("#!/bin/sh\necho no\n")
    found = one(tmp_path, sysfs)
    assert (found.level, "cannot be seen" in found.text) == ("unknown", True)
    assert "smartctl" in found.hint


def test_what_is_no_disk_is_not_judged(tmp_path: Path) -> None:
    assert list(wear(tmp_path, tmp_path / "empty")) == []
