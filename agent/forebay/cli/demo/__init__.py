"""`forebay demo`.

The main job, live, with real protocols, real processes and an outage in the middle.

Owns the story: simulated PLCs, an agent and a fleet server are started as a user would start them;
the server is killed and started again; at the end the agent's account is held against what the
server's store really contains. Must not import what it starts.
"""

from __future__ import annotations

from forebay.cli.demo.story import main

__all__ = ["main"]
