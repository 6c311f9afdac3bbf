"""What can be seen on this machine alone: clock, disk, the state directory, journal, identity.

Owns these judgements. Must not know the network; changes nothing but a file of its own, which it
removes.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from forebay.cli import output
from forebay.cli.doctor.finding import FAULT, OK, WARNING, Finding
from forebay.cli.doctor.paths import can_make_in, is_there, nearest, owner
from forebay.errors import ForebayError, IdentityUnusable
from forebay.files import no_space
from forebay.identity import ENROLL_HINT, FOLDER, IdentityStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.files import Disk

BORN = datetime(2026, 1, 1, tzinfo=UTC)
"""No gateway of this version ran before."""
ROOM_BYTES = 256 << 20
"""Below this readings soon get thinner, and logs and updates fail."""
SLOW_MS = 250.0
"""A flush that takes longer holds up every commit: `[journal] commit_interval`."""
FLUSHES = 5
PROBE = "doctor.probe"
SOON = timedelta(days=7)


def clock(now: Clock) -> Iterator[Finding]:
    """Judge the machine's clock by itself."""
    reading = now.read()
    wall = datetime.fromtimestamp(reading.wall_ns / 1e9, UTC)
    if wall < BORN:
        text = f"it says {wall:%Y-%m-%d %H:%M} UTC, which is before this version was made"
        yield Finding(
            FAULT, "clock", "", text, "set it, and have NTP run: timedatectl set-ntp true"
        )
    elif not reading.synced:
        text = f"it says {wall:%Y-%m-%d %H:%M} UTC, and nobody keeps it right"
        yield Finding(WARNING, "clock", "", text, "have NTP run: timedatectl set-ntp true")
    else:
        text = f"kept right, to {reading.error_ns / 1e6:.0f} ms"
        yield Finding(OK, "clock", "", text)


def disk(where: Path, seam: Disk) -> Iterator[Finding]:
    """Judge the file system that the state lies on: room, and how long a flush takes."""
    there = nearest(where)
    if not there.is_dir():
        return  # told of the state directory
    try:
        free, total = seam.free_bytes(there), seam.total_bytes(there)
        took_ms = _flush_ms(there, seam)
    except PermissionError:
        return  # told of the state directory
    except OSError as error:
        if no_space(error):
            hint = "free some; `forebay journal forecast` tells what the journal will need"
            yield Finding(FAULT, "disk", "", f"{there} is full", hint)
        else:
            text = f"{there} cannot be written: {error.strerror or error}"
            hint = "look at the kernel's log: dmesg; a disk that fails is mounted read-only"
            yield Finding(FAULT, "disk", "", text, hint)
        return
    room = f"{output.size(free)} of {output.size(total)} free"
    if free < ROOM_BYTES:
        hint = "free some: old readings are thinned first, then dropped, and updates fail"
        yield Finding(FAULT, "disk", "", f"only {room}", hint)
    elif took_ms > SLOW_MS:
        hint = "commits wait for it: is it worn, or busy with something else? smartctl -a, iostat"
        yield Finding(WARNING, "disk", "", f"a flush takes {took_ms:.0f} ms; {room}", hint)
    else:
        yield Finding(OK, "disk", "", f"{room}, a flush takes {took_ms:.1f} ms")


def _flush_ms(folder: Path, seam: Disk) -> float:
    """Give how long the slowest of a few small writes took until it was on the disk."""
    path = folder / f".{PROBE}.{os.getpid()}"
    file = seam.open(path, create=True, private=True)
    worst_s = 0.0
    try:
        for number in range(FLUSHES):
            began_s = time.perf_counter()
            file.pwrite([bytes(4096)], number * 4096)
            file.datasync()
            worst_s = max(worst_s, time.perf_counter() - began_s)
    finally:
        file.close()
        seam.unlink(path)
    return worst_s * 1000


def state(where: Path) -> Iterator[Finding]:
    """Judge who may use the state directory."""
    if not is_there(where):
        if can_make_in(where):
            yield Finding(OK, "state", "", f"{where} is made at the first start")
        else:
            hint = "sudo forebay doctor, as the service's user; or FOREBAY_STATE names another"
            yield Finding(FAULT, "state", "", f"this user cannot make {where}", hint)
        return
    if not where.is_dir():
        yield Finding(FAULT, "state", "", f"{where} is no directory", "FOREBAY_STATE names it")
    elif not os.access(where, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        hint = "sudo -u forebay forebay doctor; the service's user must own it"
        yield Finding(FAULT, "state", "", f"{where} is not this user's to write", hint)
    else:
        strangers = _strangers(where)
        if strangers:
            hint = f"sudo chown -R {owner(where)}: {where}"
            text = f"{strangers} belongs to somebody else than {where} does"
            yield Finding(FAULT, "state", "", text, hint)
        else:
            yield Finding(OK, "state", "", f"{where} can be used")


def _strangers(where: Path) -> str:
    """Give the first thing in it that the owner of the directory does not own; empty: none."""
    user = where.stat().st_uid
    for folder in (where, where / "journal", where / FOLDER, where / "config"):
        if folder.is_dir():
            try:
                inside = sorted(folder.iterdir())
            except PermissionError:
                return str(folder)
            for path in inside:
                if path.lstat().st_uid != user:
                    return str(path)
    return ""


def journal(directory: Path, seam: Disk) -> Iterator[Finding]:
    """Judge a journal that no agent has open."""
    from forebay.journal import verify

    if not os.access(nearest(directory), os.X_OK, effective_ids=True):
        hint = "sudo -u forebay forebay doctor; or is it made for somebody else?"
        yield Finding(FAULT, "journal", "", f"this user may not look into {directory}", hint)
        return
    if not is_there(directory):
        yield Finding(OK, "journal", "", f"{directory} is made at the first start")
        return
    try:
        report = verify.verify(directory, seam)
    except (ForebayError, OSError) as error:
        hint = getattr(error, "hint", "") or "check who may read it"
        yield Finding(FAULT, "journal", "", str(error), hint)
        return
    if report.sound:
        yield Finding(OK, "journal", "", f"{directory} is sound")
    else:
        hint = "`forebay journal verify` tells all; what is damaged is set aside at the next start"
        yield Finding(FAULT, "journal", "", f"{directory} is not sound", hint)


def identity(where: Path, seam: Disk, *, needed: bool) -> Iterator[Finding]:
    """Judge who this box is in its fleet; `needed` if the configuration counts on it."""
    try:
        found = IdentityStore(where / FOLDER, seam).current()
    except IdentityUnusable as error:
        yield Finding(FAULT, "identity", "", str(error), error.hint)
        return
    if found is None:
        if needed:
            yield Finding(FAULT, "identity", "", "this box is in no fleet yet", ENROLL_HINT)
        return
    begin, end = found.valid()
    now = datetime.now(UTC)
    if now < begin:
        text = f"the certificate is good from {begin:%Y-%m-%d %H:%M} UTC on: the clock is behind"
        yield Finding(FAULT, "identity", "", text, "set the clock: timedatectl")
    elif now >= end:
        text = f"the certificate ended on {end:%Y-%m-%d %H:%M} UTC"
        hint = "the agent recovers by itself, once; after that: forebay fleet enroll with a token"
        yield Finding(FAULT, "identity", "", text, hint)
    elif end - now < SOON:
        text = f"the certificate ends on {end:%Y-%m-%d %H:%M} UTC, and was not renewed"
        hint = "it is renewed after half of its 30 days: can the box reach its server?"
        yield Finding(WARNING, "identity", "", text, hint)
    else:
        text = f"{found.gateway}, certificate {found.generation} until {end:%Y-%m-%d}"
        yield Finding(OK, "identity", "", text)
