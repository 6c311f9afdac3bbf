"""Real power cuts of a virtual machine: `PYTHONPATH=tests N=5 python -m powercut.run`.

A witness outside the machine notes what the journal inside said was durable. After each cut the
machine boots on the same disk, and everything that was witnessed must be read back. As a control
another file is written without a flush: the cut must cost it, or it was none.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import time
from typing import Any

from powercut.machine import CACHE, Machine, build

BOOT_MOST_S = 300.0
READ_MOST_S = 300.0


def main() -> int:
    """Cut the power N times."""
    count = int(os.environ.get("N", "3"))
    seed = int(os.environ.get("SEED", secrets.randbelow(10**9)))
    rng = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    build()
    witnessed = 0
    for number in range(1, count + 1):
        began_s = time.monotonic()
        witnessed = _write(witnessed, rng)
        written = (CACHE / "console.log").read_text(errors="replace").count("unflushed")
        found = _read()
        missing = set(range(1, witnessed + 1)) - set(found["names"])
        sys.stdout.write(
            f"cut {number}: {witnessed} witnessed, {len(found['names'])} read back, "
            f"{len(missing)} missing, ledger {'balanced' if found['balanced'] else 'WRONG'}, "
            f"{found['unflushed']} of {written} unflushed lines of another file, "
            f"{time.monotonic() - began_s:.0f} s\n"
        )
        sys.stdout.flush()
        if int(found["unflushed"]) >= written:
            sys.stdout.write("that was no power cut: nothing of what was not flushed is gone\n")
            return 1
        twice = len(found["names"]) - len(set(found["names"]))
        if missing or twice or found["doubtful"] or not found["balanced"]:
            sys.stdout.write(
                f"missing {sorted(missing)[:20]}, {twice} twice, {found['doubtful']}\n"
            )
            return 1
        witnessed = max(found["names"])
    sys.stdout.write(f"{count} power cuts: nothing lost that was said to be durable\n")
    return 0


def _write(witnessed: int, rng: random.Random) -> int:
    """Let the machine write until a drawn moment; give the last name that it said was durable."""
    with Machine("write", witnessed + 1) as machine:
        text = machine.line(BOOT_MOST_S)
        assert text is not None, (CACHE / "console.log").read_text()[-2_000:]
        witnessed = int(text)
        end_s = time.monotonic() + rng.uniform(0.2, 10)
        while (left_s := end_s - time.monotonic()) > 0:
            text = machine.line(left_s)
            if text is not None:
                witnessed = int(text)
        for said in machine.pull_the_plug():
            witnessed = int(said)
    return witnessed


def _read() -> dict[str, Any]:
    with Machine("read") as machine:
        control = machine.line(BOOT_MOST_S)
        text = machine.line(READ_MOST_S)
        assert text is not None, (CACHE / "console.log").read_text()[-2_000:]
        found: dict[str, Any] = json.loads(text) | {"unflushed": control}
        machine.wait(60.0)
    return found


if __name__ == "__main__":
    sys.exit(main())
