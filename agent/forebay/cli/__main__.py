"""`python -m forebay.cli` is `forebay`: for an environment that has no scripts."""

from __future__ import annotations

from forebay.cli.main import main

main()
