"""Where the data sets lie that tests of trained models read; none is part of the project.

A set is a folder or file below FOREBAY_DATA, or else below a folder beside the checkout. The
labelled Shuttle rows come inside the package `river`, which the development set installs. A test
whose set is absent skips with words that say how to get it; that is the one skip that stands with
CI=true too, because nobody may be made to fetch data that are not ours to give.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ABSENT = "data set is absent"
"""How the reason of such a skip begins."""
BESIDE = Path(__file__).resolve().parents[3]


def folder() -> Path:
    """Give the folder of data sets: FOREBAY_DATA if it is set, else the one beside the checkout."""
    named = os.environ.get("FOREBAY_DATA")
    return Path(named) if named else BESIDE / "shared" / "data"


def data_set(name: str) -> Path:
    """Give the path of one set, such as `skab`, `neu-det` or `cmapss`; skip where it is absent."""
    path = folder() / name
    if not path.exists():
        pytest.skip(f"{ABSENT}: {name}; name the folder that holds it with FOREBAY_DATA=PATH")
    return path


def shuttle() -> Path:
    """Give `shuttle.csv.gz` of the package `river`, without importing it: 49,097 labelled rows."""
    found = importlib.util.find_spec("river")
    if found is None or found.origin is None:
        pytest.skip(f"{ABSENT}: shuttle; it is in the package river: pip install river")
    return Path(found.origin).parent / "datasets" / "shuttle.csv.gz"
