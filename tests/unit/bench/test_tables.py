"""The tables of figures: they say what the committed run says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from bench import tables

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {
    "date": "2026-11-22",
    "cpu": "AMD EPYC",
    "cores": 2,
    "memory_gib": 23.5,
    "kernel": "6.18.44-of-somebody",
    "python": "3.11.7",
}
DOCUMENT = """\
On <!-- machine -->something<!-- /machine -->.

<!-- figures -->
| id | median | against | how |
| --- | --- | --- | --- |
| `a.us` | 1 | old | stays `as it is` |
| `a.gone` | 1 | old | stays |
<!-- /figures -->

| `a.us` | no figure | here | |
"""


@pytest.mark.parametrize("path", tables.DOCUMENTS, ids=lambda path: path.parent.name)
def test_documents_have_the_figures_of_the_committed_run(path: Path) -> None:
    document = path.read_text("utf-8")
    named = tables.ids(document)
    assert len(named) > 10
    assert len(named) == len(set(named))
    assert document == tables.filled(document, tables.results()), "run python -m bench.tables"


def test_cells_are_filled_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    one = {"id": "a.us", "value": 5.3429, "unit": "us", "against": "C", "ratio": 0.79552}
    path.write_text(json.dumps({"machine": MACHINE, "figures": [one]}), "utf-8")
    assert tables.ids(DOCUMENT) == ["a.us", "a.gone"]
    before, after = (text.splitlines() for text in (DOCUMENT, filled(path)))
    changed = [line for line in after if line not in before]
    assert changed == [
        f"On <!-- machine -->{tables.machine(MACHINE)}<!-- /machine -->.",
        "| `a.us` | 5.34 µs | 0.796 \N{MULTIPLICATION SIGN} C | stays `as it is` |",
        "| `a.gone` | not in this run | | stays |",
    ]
    assert len(before) == len(after)
    said = "2 cores (AMD EPYC), 23.5 GiB, Linux 6.18.44, Python 3.11.7, 2026-11-22"
    assert tables.machine(MACHINE) == said


def filled(path: Path) -> str:
    return tables.filled(DOCUMENT, tables.results(path))


@pytest.mark.parametrize(("ratio", "said"), [(0.8499, 1), (0.85, 0)])
def test_a_figure_that_misses_its_aim_says_so(ratio: float, said: int) -> None:
    name = "journal.rate_vs_raw.4k_awaited"
    run = tables.Results(
        MACHINE,
        {name: {"id": name, "value": 1.0, "unit": "rows/s", "against": "append", "ratio": ratio}},
    )
    document = DOCUMENT.replace("a.us", name)
    assert tables.filled(document, run).count("**misses the aim of 0.85**") == said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3_125_122.3, "3.13 million"),
        (898_415.3, "898,000"),
        (1000.4, "1,000"),
        (999.6, "1,000"),
        (5.489, "5.49"),
        (-0.28975, "-0.29"),
        (0.0, "0"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert tables.number(value) == text
