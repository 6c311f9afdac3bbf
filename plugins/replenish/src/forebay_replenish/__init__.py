"""Forebay plugin: when will it be empty, and a transport called in time."""
