"""The fleet server: takes records from gateways, stores each exactly once, reads them back.

Shares nothing with the agent but `proto/`.
"""
