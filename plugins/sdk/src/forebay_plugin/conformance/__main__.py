"""`python -m forebay_plugin.conformance PATH/plugin.toml`."""

from __future__ import annotations

import sys

from forebay_plugin.conformance.cli import main

sys.exit(main(sys.argv[1:]))
