"""The filter of calls, run as the kernel would run it."""

from __future__ import annotations

import errno
import struct

import pytest

from forebay.pluginhost.syscalls import refused

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOSYS
X86, ARM, I386 = 0xC000003E, 0xC00000B7, 0x40000003


def verdict(program: bytes, arch: int, call: int, flags: int = 0) -> int:
    """Run classic BPF on the data of one call."""
    data = struct.pack("=IIQQ", call, arch, 0, flags)
    steps = list(struct.iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        code, yes, no, given = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, given)
        elif code == 0x06:
            return int(given)
        else:
            met = {0x15: value == given, 0x35: value >= given, 0x45: bool(value & given)}[code]
            at += yes if met else no


@pytest.mark.parametrize(
    ("machine", "arch", "read", "shmget", "clone"),
    [("x86_64", X86, 0, 29, 56), ("aarch64", ARM, 63, 194, 220)],
)
def test_some_calls_are_refused(
    machine: str, arch: int, read: int, shmget: int, clone: int
) -> None:
    program = refused(machine)
    assert verdict(program, arch, read) == ALLOW
    assert verdict(program, arch, shmget) == REFUSE
    assert verdict(program, arch, 425) == REFUSE, "io_uring_setup"
    assert verdict(program, arch, 435) == REFUSE, "clone3, whose flags lie in memory"
    assert verdict(program, arch, clone, 0x003D0F00) == ALLOW, "a thread"
    assert verdict(program, arch, clone, 17) == ALLOW, "a fork"
    assert verdict(program, arch, clone, 0x10000000 | 17) == REFUSE, "a user namespace"
    assert verdict(program, I386, read) == REFUSE, "numbers mean something else there"
    assert verdict(program, arch, 0x40000000 | read) == REFUSE, "x32"


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert refused("riscv64") == b""
