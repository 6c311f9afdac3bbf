"""Somebody who types what a guide shows, line by line."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import shown
from support.processes import BIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"
LASTING = ("forebay-fleet serve", "forebay run")


class Typist:
    """Somebody who types what the guide shows, in one directory."""

    def __init__(self, folder: Path, stack: AsyncExitStack, **environ: str) -> None:
        """Begin in a directory; `environ` is added to a clean environment."""
        self.folder, self._stack = folder, stack
        self.log = folder / "lasting.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
        self.lasting: dict[str, asyncio.subprocess.Process] = {}
        """What goes on until the end, by the line that began it."""
        self._environ = clean | {"PATH": f"{BIN}:{os.environ['PATH']}"} | environ

    async def type(self, line: str, answer: str = "") -> tuple[int, str]:
        """Run one line; give its exit code and output, or 0 and nothing for what lasts.

        A word with `*` is what it matches. Who is asked something gives `answer`, at a terminal.
        """
        shown.note([line])
        if line.startswith("export "):
            for name, value in re.findall(r"(\w+)=(\S+)", line):
                self._environ[name] = value.replace("$PWD", str(self.folder))
            return 0, ""
        lasts = line.startswith(LASTING)
        person, terminal = pty.openpty() if answer else (-1, asyncio.subprocess.DEVNULL)
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._words(line),
                cwd=self.folder,
                env=self._environ,
                stdin=terminal,
                stdout=log if lasts else asyncio.subprocess.PIPE,
                stderr=log if lasts else asyncio.subprocess.STDOUT,
            )
        if lasts:
            self.lasting[line] = process
            self._stack.push_async_callback(ended, process)
            return 0, ""
        answering = None
        if answer:
            os.close(terminal)
            self._stack.callback(os.close, person)
            answering = asyncio.create_task(_answer(person, answer), name="typist.answer")
        out, _ = await process.communicate()
        if answering is not None:
            answering.cancel()
        assert process.returncode is not None
        return process.returncode, out.decode()

    def _words(self, line: str) -> list[str]:
        """Split a line as a shell does; what matches nothing, or is quoted, stays as it is."""
        words = list[str]()
        for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", line):
            if word[0] in "'\"":
                words.append(word[1:-1])
                continue
            found = sorted(self.folder.glob(word)) if "*" in word else []
            words += [str(path.relative_to(self.folder)) for path in found] or [word]
        return words

    async def until(self, line: str, good: Callable[[str], object]) -> str:
        """Run one line again and again until it succeeds with an output that is good."""
        seen = ""
        try:
            async with asyncio.timeout(60):
                while True:
                    code, seen = await self.type(line)
                    if code == 0 and good(seen):
                        return seen
        except TimeoutError:
            pytest.fail(f"{line}: never good; last seen:\n{seen}\n{self.log.read_text()}")


async def _answer(person: int, answer: str) -> None:
    """Give the same answer each time that something is asked: a question drops what came before."""
    while True:
        os.write(person, f"{answer}\n".encode())
        await asyncio.sleep(0.5)


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process as a crash does."""
    if process.returncode is None:
        process.kill()
    await process.wait()


def blocks(guide: str, kind: str) -> list[str]:
    """Give the blocks of a guide that are in this language."""
    return re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL)
