"""Starts, feeds, limits and ends plugins: processes that read the journal and give results."""
