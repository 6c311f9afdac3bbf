"""A virtual machine with Debian's kernel, ext4 and our journal in it, whose plug can be pulled.

QEMU translates every instruction (TCG), so it needs no rights and is slow. The guest's unflushed
pages are in the guest's memory and go with it; what it flushed is in the host's file.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "powercut"
PACKAGES = ("python3", "linux-image-cloud-amd64", "initramfs-tools", "kmod")
DISK_BYTES = 2 << 30
MEMORY_MIB = 768


def build() -> None:
    """Make kernel, initial ramdisk and a fresh disk image in CACHE; the slow part is kept."""
    CACHE.mkdir(parents=True, exist_ok=True)
    archive, tree = CACHE / "rootfs.tar", CACHE / "rootfs"
    if not archive.exists():
        unfinished = archive.with_suffix(".part.tar")
        include = f"--include={','.join(PACKAGES)}"
        _run("mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", unfinished)
        unfinished.rename(archive)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    _run("tar", "--extract", "--file", archive, "--directory", tree, "--exclude=./dev/*")
    for kind in ("vmlinuz", "initrd.img"):
        shutil.copy(next((tree / "boot").glob(f"{kind}-*")), CACHE / kind)
    home = tree / "opt" / "forebay"
    home.mkdir(parents=True)
    _packages(home / "packages")
    for name in ("agent", "tests/support"):
        shutil.copytree(ROOT / name, home / name)
    shutil.copy(Path(__file__).with_name("init.sh"), tree / "powercut-init")
    (tree / "powercut-init").chmod(0o755)
    disk = CACHE / "disk.img"
    disk.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-d", tree, disk, str(DISK_BYTES >> 10))
    shutil.rmtree(tree)


def _packages(target: Path) -> None:
    """Put the agent's pinned requirements into the image; the wheels of a first time are kept."""
    wheels = CACHE / "packages"
    if not wheels.exists():
        pinned = ROOT / "requirements" / "demo.txt"
        unfinished = wheels.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--require-hashes")
        platform = ("--only-binary=:all:", "--python-version=3.11", "--no-compile")
        _run(*pip, *platform, "--target", unfinished, "-r", pinned)
        unfinished.rename(wheels)
    shutil.copytree(wheels, target)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


class Machine:
    """`with Machine("write", 1) as machine:` boots; leaving it pulls the plug."""

    def __init__(self, mode: str, first: int = 0) -> None:
        """Ask the guest for `mode`: `write` names from `first` on, or `read`."""
        self._words, self._guest_end = os.pipe()
        append = (
            f"root=/dev/vda rw console=ttyS0 quiet mitigations=off panic=-1 init=/powercut-init "
            f"forebay={mode} first={first}"
        )
        arguments: Sequence[str] = (
            *("nice", "-n", "5", "qemu-system-x86_64", "-accel", "tcg,thread=multi"),
            *("-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB), "-nographic", "-no-reboot"),
            *("-nic", "none", "-monitor", "none", "-append", append),
            *("-kernel", str(CACHE / "vmlinuz"), "-initrd", str(CACHE / "initrd.img")),
            *("-drive", f"file={CACHE / 'disk.img'},if=virtio,format=raw,cache=writeback"),
            *("-serial", f"file:{CACHE / 'console.log'}"),
            *("-add-fd", f"fd={self._guest_end},set=1"),
            *("-chardev", "file,id=words,path=/dev/fdset/1,append=on"),
            *("-serial", "chardev:words"),
        )
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, pass_fds=(self._guest_end,)
        )
        os.close(self._guest_end)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull_the_plug()

    def line(self, timeout_s: float) -> str | None:
        """Give the guest's next line, None if none comes in time or the machine is off."""
        end_s = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([self._words], [], [], left_s)[0]:
                return None
            data = os.read(self._words, 1 << 16)
            if not data:
                return None
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\n")
        return text.decode().strip()

    def wait(self, timeout_s: float) -> None:
        """Wait until the guest is off by itself; subprocess.TimeoutExpired if it is not."""
        self._process.wait(timeout_s)

    def pull_the_plug(self) -> list[str]:
        """Kill the machine; give the lines that it had said by then."""
        self._process.kill()
        self._process.wait()
        lines: list[str] = []
        if self._words < 0:
            return lines
        while (text := self.line(1.0)) is not None:
            lines.append(text)
        os.close(self._words)
        self._words = -1
        return lines
