"""Adapters that speak to devices, one package a protocol; `docs/guides` says how to add one.

Each is found by its entry point in `forebay.drivers`, and knows neither engines nor other drivers.
"""
