"""Every finding leads to a place in the documents that is there."""

from __future__ import annotations

from pathlib import Path

from forebay.cli.doctor.finding import CHECKS, PAGE, Finding

ROOT = Path(__file__).resolve().parents[3]


def test_each_check_has_its_heading() -> None:
    lines = (ROOT / PAGE).read_text().splitlines()
    anchors = {line.removeprefix("## ").lower() for line in lines if line.startswith("## ")}

    pages = [Finding("fault", check, "", "").page for check in CHECKS]

    assert pages
    assert [page for page in pages if page.removeprefix(f"{PAGE}#") not in anchors] == []
