"""Gives back what it reads, and the milliseconds that it worked."""  # noqa: INP001 - run as a file

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from forebay_plugin import Plugin, serve

if TYPE_CHECKING:
    from forebay_plugin import Results, Window


class Mirror(Plugin):
    """The smallest model: a product of matrices."""

    weights = np.random.default_rng(1).normal(size=(64, 64))

    def process(self, window: Window) -> Results:
        """Work a little, and say for how long."""
        began = time.perf_counter()
        value = window.matrix("values")[-1, 0]
        layer = np.full(64, value)
        for _ in range(4):
            layer = np.tanh(self.weights @ layer)
        return {"out": int(value), "own_ms": (time.perf_counter() - began) * 1e3}


if __name__ == "__main__":
    serve(Mirror)
