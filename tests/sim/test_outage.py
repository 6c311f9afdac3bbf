"""Days without a cloud on a virtual clock: 72 hours of 10,000 tags in `make soak`, less here."""

from __future__ import annotations

import os
import sys

from sim.outage import simulate

HOURS = float(os.environ.get("OUTAGE_HOURS", "2"))
TAGS = int(os.environ.get("OUTAGE_TAGS", "1000"))


def test_days_without_a_cloud_end_delivered_or_accounted_for() -> None:
    story = simulate(HOURS, TAGS)
    sys.stdout.write(story + "\n")
    account = story.rsplit("\n", 1)[-1]
    assert "'gapped': 0" not in account, "the disk held everything: this tested nothing"
