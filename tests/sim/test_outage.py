"""Three days without a cloud, on a virtual clock; OUTAGE_HOURS=72 in `make soak`, less here."""

from __future__ import annotations

import os
import sys

from sim.outage import simulate

HOURS = float(os.environ.get("OUTAGE_HOURS", "0.5"))


def test_days_without_a_cloud_end_delivered_or_accounted_for() -> None:
    story = simulate(HOURS)
    sys.stdout.write(story + "\n")
    account = story.rsplit("\n", 1)[-1]
    assert "'gapped': 0" not in account, "the disk held everything: this tested nothing"
