"""How the end of a process is told."""

from __future__ import annotations

import pytest

from forebay.pluginhost.process import described


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (0, "", "exit", "ended with status 0"),
        (3, "no such file", "exit", "ended with status 3: no such file"),
        (1, "MemoryError", "memory", "ended with status 1 for want of memory: MemoryError"),
        (-11, "", "killed", "ended by SIGSEGV"),
        (134, "assertion", "killed", "ended by SIGABRT: assertion"),
        (137, "", "killed", "was killed (SIGKILL): by the kernel for want of memory, or by hand"),
        (-9, "x", "killed", "was killed (SIGKILL): by the kernel for want of memory, or by hand"),
        (255, "", "killed", "ended by signal 127"),
    ],
)
def test_how_it_ended(status: int, said: str, kind: str, words: str) -> None:
    assert described(status, said) == (kind, words)
