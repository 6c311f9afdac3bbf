"""Hold a plugin process, in any language, against the protocol.

Run as `python -m forebay_plugin.conformance PATH/plugin.toml`.
"""
