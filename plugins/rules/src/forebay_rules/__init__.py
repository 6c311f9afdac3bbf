"""Expressions and alarms over tags, as a Forebay plugin."""
