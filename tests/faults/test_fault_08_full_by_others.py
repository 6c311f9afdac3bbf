"""Fault 8: others fill the file system, its bytes or its inodes, and take all that is given back.

Memory takes what it can, the rest becomes a gap, an alarm tells it, and when there is room again it
goes on by itself.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.faults import OWN_NAMESPACES, python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(150)
@pytest.mark.parametrize("what", ["bytes", "files"])
def test_fault_08_full_by_others(what: str, tmp_path: Path, namespaces: None) -> None:
    words = ("support.full_disk", tmp_path, what)
    command, environment = python(*words, before=OWN_NAMESPACES)
    ran = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr.decode()
    told = json.loads(ran.stdout)
    assert told["full"] >= 1
    assert told["room"] >= 1
    assert "RING_OVERFLOW" in told["causes"]
    assert told["gapped"] > 0
