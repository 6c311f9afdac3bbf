"""How `make docs` builds the site: Sphinx over the whole project, so that every link counts."""
# ruff: noqa: INP001 - Sphinx looks for this file here, and it is no module of ours

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = "Forebay"
version = release = _PROJECT["version"]
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**",
    "bench/README.md",
    "agent/forebay/**/README.md",
    "plugins/**/README.md",
]
exclude_patterns = ["**/node_modules", "**/.pytest_cache", ".venv", ".cache"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Forebay {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# The prompt and what a program answers are in one block: no language for a highlighter.
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]
