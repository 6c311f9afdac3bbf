"""How worn the disk is, as far as it says so itself.

Owns where that stands: eMMC in sysfs (mmc-dev-attrs.rst of the kernel: life_time, pre_eol_info, by
JESD84-B51, 7.4.93 to 95), anything else by smartctl, where it is installed and allowed. Must not
know what is stored. Nothing is written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.cli.doctor.finding import FAULT, OK, UNKNOWN, WARNING, Finding
from forebay.cli.doctor.paths import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORN, SPENT = 80, 100
"""Percent of what its maker promised, from which a person is warned, and told of a fault."""
SMARTCTL_S = 10.0
_STEPS = range(1, 12)
"""Of life_time: 0x01 is up to 10 % used, 0x0A up to 100 %, 0x0B more."""
_URGENT = 3
"""Of pre_eol_info: nine tenths of the spare blocks are used up."""
HINT = "plan to replace it: flash that is used up turns read-only, or loses what it holds"


def wear(where: Path, sysfs: Path = Path("/sys")) -> Iterator[Finding]:
    """Judge the disk below `where`; nothing of one that is no disk, such as memory."""
    disk = _disk(where, sysfs)
    if disk is None:
        return
    name = disk.name
    found = _emmc(disk)
    if found is None:
        found = _smart(name)
    if found is None:
        hint = "sudo forebay doctor, with smartctl (smartmontools) installed"
        yield Finding(UNKNOWN, "disk", "", f"how worn {name} is cannot be seen from here", hint)
        return
    used, failing = found
    text = f"{name} has used {used} % of what it bears" if used is not None else f"{name} is sound"
    if failing:
        yield Finding(FAULT, "disk", "", f"{name} says that it is failing; {text}", HINT)
    elif used is not None and used >= SPENT:
        yield Finding(FAULT, "disk", "", text, HINT)
    elif used is not None and used >= WORN:
        yield Finding(WARNING, "disk", "", text, HINT)
    else:
        yield Finding(OK, "disk", "", text)


def _disk(where: Path, sysfs: Path) -> Path | None:
    """Give the directory in sysfs of the disk that a file system lies on."""
    try:
        number = nearest(where).stat().st_dev
        found = (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve(
            strict=True
        )
    except OSError:
        return None
    return found.parent if (found / "partition").exists() else found


def _emmc(disk: Path) -> tuple[int | None, bool] | None:
    """Give percent used and whether it is at its end, None for what is no eMMC."""
    try:
        steps = [int(word, 16) for word in (disk / "device/life_time").read_text("ascii").split()]
        urgent = int((disk / "device/pre_eol_info").read_text("ascii"), 16) >= _URGENT
    except (OSError, ValueError):
        return None
    known = [step for step in steps if step in _STEPS]
    return (max(known) * 10 if known else None), urgent


def _smart(name: str) -> tuple[int | None, bool] | None:
    """Give percent used, None if it does not say, and whether it is failing; None: nobody knows."""
    program = shutil.which("smartctl") or shutil.which("smartctl", path="/usr/sbin:/sbin")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the name is the kernel's
            [program, "--json", "--health", "--attributes", f"/dev/{name}"],
            capture_output=True,
            timeout=SMARTCTL_S,
            check=False,  # its code is a mask of what it found
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return judged(told)


def judged(told: object) -> tuple[int | None, bool] | None:
    """Read smartctl's document: `endurance_used` (7.4 on), else NVMe's own `percentage_used`."""
    if not isinstance(told, dict):
        return None
    passed = _of(told, "smart_status", "passed")
    used = _of(told, "endurance_used", "current_percent")
    if used is None:
        used = _of(told, "nvme_smart_health_information_log", "percentage_used")
    if passed is None and used is None:
        return None
    return (used if isinstance(used, int) else None), passed is False


def _of(told: Mapping[str, object], part: str, name: str) -> object:
    inner = told.get(part)
    return inner.get(name) if isinstance(inner, dict) else None
