"""What is seen of processes from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forebay.pluginhost import watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKES = """
import os, sys
held = bytearray(os.urandom(1)) * (48 << 20)
if os.fork():
    os.wait()
else:
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(mark: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process of 48 MiB with a child; give it and the child's id."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARK": mark},
    ) as made:
        assert made.stdin is not None
        assert made.stdout is not None
        yield made, int(made.stdout.readline())
        made.stdin.close()
        made.wait(30)


def test_a_tree_its_memory_and_its_mark() -> None:
    mark = f"mark-{os.getpid()}"
    with process(mark) as (parent, child):
        assert watch.tree(parent.pid, 100) == [parent.pid, child]
        assert watch.tree(parent.pid, 1) == [parent.pid]
        used = watch.usage(parent.pid, 100)
        assert used.tasks == 2
        assert 48 << 20 <= used.memory_bytes < 1 << 30
        assert set(watch.marked(mark, 100)) == {parent.pid, child}
        assert watch.lives(child)
    assert not watch.lives(child)
    assert not watch.marked(mark, 100)
    assert watch.usage(parent.pid, 100) == (0, 0)


def test_what_lies_in_a_directory_is_counted_and_no_link_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/big").write_bytes(bytes(1 << 20))
    (tmp_path / "a/round").symlink_to(tmp_path)
    found = watch.stored(tmp_path, 100)
    assert found.files == 4
    assert 1 << 20 <= found.size_bytes < 2 << 20
    assert watch.stored(tmp_path, 2).files == 3
    assert watch.stored(tmp_path / "absent", 2).files == 0


def test_files_without_a_name_are_found(tmp_path: Path) -> None:
    before = watch.nameless(os.getpid(), 100)
    held = os.memfd_create("x")
    twice = os.dup(held)
    os.write(held, bytes(1 << 20))
    with (tmp_path / "gone").open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        assert watch.nameless(os.getpid(), 1) - before == 1 << 20, "this one has a name"
        (tmp_path / "gone").unlink()
        assert watch.nameless(os.getpid(), 1) - before >= 2 << 20
    os.close(held)
    os.close(twice)
