"""Runs many seeds of one simulation, on all cores, and says which of them broke a promise."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_EVERY_S = 10.0
WHY_MOST, WHY_CHARACTERS = 5, 300
"""Of how many failed seeds the end repeats why, and how much of its end."""


def _of_no_kind(_given: object) -> str:
    return ""


def run(
    simulate: Callable[[int], object],
    what: str,
    default: int,
    kind: Callable[[object], str] = _of_no_kind,
) -> int:
    """Run seeds FIRST (0) to FIRST + N (`default`) of `simulate`; give the exit code.

    With MOST_S it ends after so many seconds, and says how many seeds it came to. A seed that
    raises is told with its traceback, and how many of those that hold are of each `kind` by what
    they give. SEED=7 runs one seed here, with its log, and prints what it gives, or that it holds.
    """
    if "SEED" in os.environ:
        seed = int(os.environ["SEED"])
        sys.stdout.write(f"{simulate(seed) or f'seed {seed} holds'}\n")
        return 0
    first, count = int(os.environ.get("FIRST", "0")), int(os.environ.get("N", str(default)))
    most_s, done = float(os.environ.get("MOST_S", "inf")), 0
    failed: dict[int, str] = {}
    kinds: Counter[str] = Counter()
    began_s = told_s = time.monotonic()
    with ProcessPoolExecutor(initializer=_quietly) as pool:
        seeds = range(first, first + count)
        one = partial(_one, simulate, kind)
        for done, (seed, fault, of) in enumerate(pool.map(one, seeds), start=1):
            if not fault:
                kinds[of] += 1
            else:
                failed[seed] = " ".join(fault.split())[-WHY_CHARACTERS:]
                sys.stdout.write(f"seed {seed}\n{fault}")
            if time.monotonic() - told_s > PROGRESS_EVERY_S:
                told_s = time.monotonic()
                sys.stdout.write(f"{done} of {count}, {done / (told_s - began_s):.1f}/s\n")
                sys.stdout.flush()
            if time.monotonic() - began_s > most_s:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    rate = done / (time.monotonic() - began_s)
    if done < count:
        sys.stdout.write(f"cut short by MOST_S: {done} of {count} {what}\n")
    told = f"{len(failed)} failed{' ' if failed else ''}{' '.join(map(str, list(failed)[:50]))}"
    sys.stdout.write(f"{done} {what} from seed {first}, {rate:.0f}/s: {told}\n")
    for seed, why in list(failed.items())[:WHY_MOST]:
        sys.stdout.write(f"seed {seed} failed: {why}\n")
    for of, many in sorted(kinds.items()):
        sys.stdout.write(f"{many} ({many / done:.0%}) {of}\n" if of else "")
    return 1 if failed else 0


def _quietly() -> None:
    """Leave out what the servers log of every session: there are thousands."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)


def _one(
    simulate: Callable[[int], object], kind: Callable[[object], str], seed: int
) -> tuple[int, str, str]:
    try:
        of = kind(simulate(seed))
    except Exception:  # noqa: BLE001 - whatever a run raises is a finding, and the next one goes on
        return seed, traceback.format_exc(), ""
    return seed, "", of
