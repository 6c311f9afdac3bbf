"""Measurements: `python -m bench [--only PREFIX]`.

Each module here has `run() -> list[dict]`. Machines are noisy, so a figure is a median with its
spread, and where there is something to hold it against, the two are measured in turns and their
ratio is what counts.
"""

from __future__ import annotations
