"""How many examples a property test runs: a few in `make test`, as many as asked in `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import settings


def examples(count: int) -> settings:
    """Give the settings of a property test that runs `count` examples by default."""
    return settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", count)))
