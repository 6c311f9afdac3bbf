"""Whether a configuration may run here, found out where a hostile one costs nothing.

Owns the check in a process of its own, which limits itself before it reads a byte of the
configuration: it is parsed there, its adapters look at it, and nothing of it is begun. Must not
know what becomes of the answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import ConfigError, Fault, RequestFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel

    from forebay.config.load import LoadedConfig

DEADLINE_S = 120.0
CPU_S = 60
MEMORY_BYTES = 2 << 30
OPEN_FILES = 256
NICE = 10
MAX_FAULTS = 1_000
MAX_ANSWER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Validated:
    """What is wrong. With any of `faults` it must not run; `quarantined` are items left out."""

    faults: tuple[Fault, ...]
    quarantined: tuple[Fault, ...]


async def validate(main: Path, working: Sequence[str]) -> Validated:
    """Check the configuration whose main file is `main`, in a process that is limited.

    `working` are the parts that give data now, as "device press": to leave one of them out is a
    fault. Raises RequestFailed if no answer comes.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from where the agent happens to stand
            "-m",
            "forebay.management.validating",
            str(main),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            close_fds=True,
        )
    except OSError as error:
        raise RequestFailed(
            f"the configuration could not be checked: {error.strerror}",
            hint="this machine has no memory or no process left: see what takes them",
        ) from error
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await process.communicate(json.dumps(list(working)).encode())
        answer = json.loads(out[:MAX_ANSWER_BYTES])
        return Validated(_read(answer["faults"]), _read(answer["quarantined"]))
    except (TimeoutError, ValueError, KeyError, TypeError) as error:
        raise RequestFailed(
            f"the configuration could not be checked: {type(error).__name__} "
            f"(the check ended with {process.returncode})",
            hint="try `forebay check` on it; it may be too large for this machine",
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _read(faults: Iterable[dict[str, Any]]) -> tuple[Fault, ...]:
    return tuple(Fault(one["path"], one["message"], one["hint"]) for one in faults)


def judge(main: Path, working: Sequence[str]) -> Validated:
    """Check in this very process."""
    from forebay.config.load import load_items
    from forebay.registry import Registry

    try:
        loaded = load_items(main, Registry(), os.environ)
    except ConfigError as error:
        return Validated(error.faults[:MAX_FAULTS], ())
    faults = [*astray(loaded), *missed(loaded, working)]
    return Validated(tuple(faults[:MAX_FAULTS]), loaded.quarantined[:MAX_FAULTS])


def missed(loaded: LoadedConfig, working: Sequence[str]) -> Iterator[Fault]:
    """Find parts that give data now, that are wanted, and that would be left out for a fault."""
    wanted = {f"device {name}" for name in loaded.config.devices}
    wanted |= {f"uplink {name}" for name in loaded.config.uplinks}
    there = {f"device {device.spec.name}" for device in loaded.devices}
    there |= {f"uplink {uplink.name}" for uplink in loaded.uplinks}
    for part in working:
        if part in wanted and part not in there:
            place = part.replace(" ", "s.", 1)
            why = next((f for f in loaded.quarantined if f.path.startswith(place)), None)
            message = f"{part} works now and would be left out"
            if why is not None:
                message += f": {why.path} {why.message}"
            yield Fault(place, message, why.hint if why else "correct it, or remove it")


def astray(loaded: LoadedConfig) -> Iterator[Fault]:
    """Find directories that would lie inside a generation, which is a copy that goes again."""
    base = loaded.base
    if base is None:
        return
    tables: list[tuple[str, BaseModel]] = [
        ("journal", loaded.config.journal),
        ("control", loaded.config.control),
    ]
    tables += [(f"devices.{d.spec.name}", d.spec.settings) for d in loaded.devices]
    tables += [(f"uplinks.{u.name}", u.settings) for u in loaded.uplinks]
    tables += [(f"plugins.{p.name}", p.settings) for p in loaded.plugins]
    for place, settings in tables:
        for field in type(settings).model_fields:
            value = getattr(settings, field)
            for path in value if isinstance(value, tuple) else (value,):
                if isinstance(path, Path) and path.is_relative_to(base) and not path.is_file():
                    yield Fault(
                        f"{place}.{field}",
                        f"{path.relative_to(base)} is relative, and would lie in a copy of the "
                        "configuration",
                        "write its absolute path",
                    )


def main() -> None:
    """Limit this process, check, and print the answer."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICE)
    found = judge(Path(sys.argv[1]), json.loads(sys.stdin.read()))
    answer = {"faults": _written(found.faults), "quarantined": _written(found.quarantined)}
    sys.stdout.write(json.dumps(answer))


def _written(faults: Iterable[Fault]) -> list[dict[str, str]]:
    return [{"path": f.path, "message": f.message, "hint": f.hint} for f in faults]


if __name__ == "__main__":
    main()
