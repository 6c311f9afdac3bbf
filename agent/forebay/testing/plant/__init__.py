"""A small plant on this machine: energy meter, press and conveyor, each behind a real protocol.

`python -m forebay.testing.plant --config-dir DIR ...` runs it and writes the configuration of an
agent that reads it. For demos and for trying a configuration without a machine. Must not know the
agent: it is started as a process and knows only protocols.
"""
