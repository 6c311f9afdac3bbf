"""Runs the benchmarks, prints a table, writes bench/results/latest.json and what tells of it."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from bench import tables

if TYPE_CHECKING:
    from bench.figures import Figure

MODULES = {
    "encode": "bench.encode",
    "stages": "bench.stages",
    "modbus": "bench.modbus",
    "modbus.requests": "bench.requests",
    "opcua": "bench.opcua",
    "journal": "bench.journal",
    "thinning": "bench.thinning",
    "journal.recovery": "bench.recovery",
    "e2e": "bench.e2e",
    "drain": "bench.drain",
    "poll": "bench.poll",
    "cli": "bench.cli",
    "write": "bench.write",
    "plugin": "bench.plugin",
    "fleet": "bench.fleet_load",
    "fleet.jetstream": "bench.fleet_scale",
    "fleet.query": "bench.fleet_query",
}
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
LIBRARIES = ("numpy", "zstandard", "grpcio", "protobuf", "uvloop", "pymodbus", "asyncua", "apsw")


def facts() -> dict[str, object]:
    """Say what machine and versions the figures come from."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def row(figure: Figure) -> str:
    """Give one line of the table."""
    value = f"{figure['value']:,.0f}" if figure["value"] >= 1000 else f"{figure['value']:.3g}"
    against = f"{figure['ratio']:.3g} x {figure['against']}" if "ratio" in figure else ""
    spread = f"±{figure['spread'] * 50:.0f} %" if "spread" in figure else ""
    return f"{figure['id']:34s} {value:>12s} {figure['unit']:10s} {spread:>8s}  {against}"


def modules(only: str) -> list[str]:
    """Name the modules that measure ids which begin with `only`."""
    within = [module for prefix, module in MODULES.items() if prefix.startswith(only)]
    around = [prefix for prefix in MODULES if only.startswith(prefix)]
    return within or [MODULES[prefix] for prefix in sorted(around, key=len)[-1:]]


def main() -> int:
    """Run what `--only` names (a prefix of ids), all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", help="prefix of the ids to measure")
    only: str = parser.parse_args().only
    sys.path.insert(
        0, str(HERE.parent / "tests")
    )  # the end-to-end bench drives real processes as tests do
    figures: list[Figure] = []
    for module in modules(only):
        found: list[Figure] = importlib.import_module(module).run()
        for one in found:
            if one["id"].startswith(only):
                figures.append(one)
                print(row(one), flush=True)
    if not figures:
        print(f"no figure begins with {only!r}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / ("latest.json" if not only else f"latest-{only.rstrip('.')}.json")
    document = {"machine": facts(), "figures": figures}
    target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(Path.cwd())}")
    return 0 if only else tables.main()


if __name__ == "__main__":
    sys.exit(main())
