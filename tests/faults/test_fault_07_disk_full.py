"""Fault 7: the journal's file system of 8 MiB is full, by what the journal itself has written.

It thins what is there before the disk is full; where it may not, the ballast goes, the oldest data
goes with a gap, and it goes on.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.faults import OWN_NAMESPACES, python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["thinning", "dropping"])
def test_fault_07_disk_full(what: str, tmp_path: Path, namespaces: None) -> None:
    words = ("support.full_disk", tmp_path, what)
    command, environment = python(*words, before=OWN_NAMESPACES)
    ran = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stderr.decode()
    told = json.loads(ran.stdout)
    assert told["room"] == told["full"]
    assert told["gapped"] > told["pending"], "it was filled more than twice"
    if what == "dropping":
        assert told["full"] >= 1
        assert told["causes"] == ["RETENTION_BYTES"]
    else:
        assert told["thinned"] > told["pending"]
        assert told["causes"] in ([], ["RETENTION_BYTES"])
