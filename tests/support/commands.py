"""Runs the installed `forebay` command as a person or a script would."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from support import shown

COMMAND = Path(sys.executable).with_name("forebay")
DEADLINE_S = 60.0


class Finished(NamedTuple):
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Give standard output as the one JSON document that it must be."""
        return json.loads(self.out)


async def forebay(*arguments: str | Path, **environ: str) -> Finished:
    """Run one command to its end, without a terminal; `environ` is added to a clean environment."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FOREBAY_") and name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    shown.note(("forebay", *arguments))
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean | {"TZ": "UTC"} | environ,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())
