"""What a plugin is written with: a class with `setup` and `process`, served to the gateway.

A plugin shares its machine with the polls of the gateway. So where a host started this process and
says nothing else, libraries that compute get one thread each; they read this when they are loaded.
"""

from __future__ import annotations

import os

if "FOREBAY_PLUGIN_SOCKET" in os.environ:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

from forebay_plugin.plugin import (
    Input,
    Output,
    Plugin,
    PluginError,
    Result,
    Results,
    Setup,
    Table,
    Value,
)
from forebay_plugin.serving import serve
from forebay_plugin.types import BAD, GOOD, UNCERTAIN, Kind, Type
from forebay_plugin.window import Series, Window, grouped, held, stack

__all__ = [
    "BAD",
    "GOOD",
    "UNCERTAIN",
    "Input",
    "Kind",
    "Output",
    "Plugin",
    "PluginError",
    "Result",
    "Results",
    "Series",
    "Setup",
    "Table",
    "Type",
    "Value",
    "Window",
    "grouped",
    "held",
    "serve",
    "stack",
]
