"""Stages: one package for each kind, found by its entry point. Batch in, batch out.

Adapters: they know `interfaces`, `settings`, `model` and `errors`; never an engine, nor one
another.
"""
