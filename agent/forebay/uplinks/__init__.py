"""Uplinks: one package for each kind of destination, found by its entry point.

Adapters: they know `interfaces`, `settings`, `model`, `errors` and the seams; never an engine, nor
one another.
"""
