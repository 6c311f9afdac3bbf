"""The pages, one module each."""

from __future__ import annotations

from forebay_fleet.web.pages import (
    account,
    artifacts,
    audit,
    box,
    configure,
    gateways,
    people,
    rollout,
    rollouts,
)

EVERY = (
    gateways.add_to,
    box.add_to,
    configure.add_to,
    rollouts.add_to,
    rollout.add_to,
    artifacts.add_to,
    audit.add_to,
    people.add_to,
    account.add_to,
)
"""What adds each to a site."""
