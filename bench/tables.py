"""Fills the tables of figures in the documents from bench/results/latest.json.

A table of figures stands between `<!-- figures -->` and `<!-- /figures -->`. Its rows begin with an
id in backticks, a cell for the median and a cell for the ratio; the cells behind them are left as
they are. What machine measured stands between `<!-- machine -->` and `<!-- /machine -->`.

    python -m bench.tables      fill them; 1 if the run lacks an id that a table names
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.figures import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results/latest.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "bench/README.md")
ABSENT = "not in this run"
AIMS = {"journal.rate_vs_raw": 0.85, "plugin.onnx_vs_direct": 0.8}
"""The least ratio that is aimed at, by the beginning of ids."""

_TABLE = re.compile(r"(?<=<!-- figures -->\n).*?(?=\n<!-- /figures -->)", re.DOTALL)
_MACHINE = re.compile(r"(?<=<!-- machine -->).*?(?=<!-- /machine -->)", re.DOTALL)
_ROW = re.compile(r"^\| `([^`]+)` \|[^|]*\|[^|]*\|", re.MULTILINE)
_UNITS = {
    "us": " µs",
    "x": " \N{MULTIPLICATION SIGN}",
    "%": " %",
    "1/CPU s": " a CPU second",
    "of bytes": " of the bytes",
}


class Results(NamedTuple):
    """One run: what `python -m bench` wrote."""

    machine: Mapping[str, object]
    figures: Mapping[str, Figure]


def results(path: Path = RESULTS) -> Results:
    """Read the run."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Results(found["machine"], {one["id"]: one for one in found["figures"]})


def ids(document: str) -> list[str]:
    """Give the ids that the tables of figures of a document name."""
    return [name for table in _TABLE.findall(document) for name in _ROW.findall(table)]


def filled(document: str, run: Results) -> str:
    """Give the document with the figures of this run."""
    with_figures = _TABLE.sub(
        lambda table: _ROW.sub(lambda row: _cells(row[1], run.figures.get(row[1])), table[0]),
        document,
    )
    return _MACHINE.sub(lambda _: machine(run.machine), with_figures)


def machine(facts: Mapping[str, object]) -> str:
    """Say what measured, in one line."""
    kernel = str(facts["kernel"]).partition("-")[0]
    return (
        f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, Linux {kernel}, "
        f"Python {facts['python']}, {facts['date']}"
    )


def number(value: float) -> str:
    """Give three digits of a figure, as people read them."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} million"
    if abs(value) >= 1000:
        digits = 10 ** (len(str(int(abs(value)))) - 3)
        return f"{round(value / digits) * digits:,}"
    return f"{float(f'{value:.3g}'):,g}"


def _cells(name: str, figure: Figure | None) -> str:
    if figure is None:
        return f"| `{name}` | {ABSENT} | |"
    unit = _UNITS.get(figure["unit"], f" {figure['unit']}")
    ratio = (
        f" {number(figure['ratio'])} \N{MULTIPLICATION SIGN} {figure['against']}"
        if "ratio" in figure
        else ""
    )
    return f"| `{name}` | {number(figure['value'])}{unit} |{ratio}{_missed(name, figure)} |"


def _missed(name: str, figure: Figure) -> str:
    """Say it where a figure is short of what is aimed at."""
    aim = next((aim for start, aim in AIMS.items() if name.startswith(start)), 0.0)
    return f"; **misses the aim of {aim}**" if figure.get("ratio", aim) < aim else ""


def main() -> int:
    """Fill all documents; name the ids that the run lacks."""
    run, absent = results(), []
    for path in DOCUMENTS:
        before = path.read_text(encoding="utf-8")
        path.write_text(filled(before, run), encoding="utf-8")
        absent += [name for name in ids(before) if name not in run.figures]
    for name in absent:
        print(f"{RESULTS.relative_to(ROOT)} lacks {name}", file=sys.stderr)
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
