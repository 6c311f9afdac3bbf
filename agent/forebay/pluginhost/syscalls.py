"""Which calls of the kernel a confined plugin is refused, as a filter that bubblewrap loads.

Owns that list. Pure. They make memory that belongs to no process and no file (System V), other
namespaces, in which there are mounts of any size, or reach parts of the kernel that a model has no
use for. A library that tries one gets the error of a kernel that has not got it, and goes on.

The filter is a classic BPF program on `struct seccomp_data` (seccomp(2), linux/filter.h).
"""

from __future__ import annotations

import errno
import platform
import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Machine(NamedTuple):
    """AUDIT_ARCH of a machine and its numbers of calls; from `beyond` on they are another ABI's."""

    arch: int
    beyond: int
    clone: int
    refused: Sequence[int]


FILTER = "{filter}"
"""Stands in a command line for the number of the descriptor that gives the filter."""
_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 435, 442, 447)
"""io_uring_*, open_tree to fspick (the new mount calls), clone3, mount_setattr, memfd_secret."""
_MACHINES: Mapping[str, _Machine] = MappingProxyType(
    {
        # shmget msgget ptrace mount swapon keyctl... unshare perf setns process_vm* bpf userfaultfd
        "x86_64": _Machine(
            0xC000003E, 0x40000000, 56,
            (29, 68, 101, 165, 167, 248, 249, 250, 272, 298, 308, 310, 311, 321, 323),
        ),
        "aarch64": _Machine(
            0xC00000B7, 0x40000000, 220,
            (194, 186, 117, 40, 224, 217, 218, 219, 97, 241, 268, 270, 271, 280, 282),
        ),
    }
)  # fmt: skip
_NAMESPACES = 0x7E020080
"""CLONE_NEW* of all kinds (clone(2))."""
_LOAD, _EQUAL, _LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FLAGS_AT = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000


def refused(machine: str | None = None) -> bytes:
    """Give the filter for `machine`, this one if absent; empty for a machine that is not known."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    calls = sorted({*known.refused, *_EVERYWHERE})
    # Jumps are counted from the next instruction: to the refusal, which is the last.
    last = len(calls) + 8
    program = [(_LOAD, 0, 0, _ARCH_AT)]

    def to_refusal() -> int:
        return last - len(program) - 1

    program.append((_EQUAL, 0, to_refusal(), known.arch))
    program.append((_LOAD, 0, 0, _NUMBER_AT))
    program.append((_LEAST, to_refusal(), 0, known.beyond))
    program.extend((_EQUAL, last - 4 - at - 1, 0, call) for at, call in enumerate(calls))
    program.append((_EQUAL, 0, 2, known.clone))
    program.append((_LOAD, 0, 0, _FLAGS_AT))
    program.append((_ANY_BIT, to_refusal(), 0, _NAMESPACES))
    program.append((_RETURN, 0, 0, _ALLOW))
    program.append((_RETURN, 0, 0, _REFUSE | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *one) for one in program)
