"""Reading configuration: TOML and CSV in, typed settings or every fault at once out.

Owns the files' form, their merging and their checking. Must not know any adapter by name, nor start
or stop anything. Kept empty so that a command which needs only `places` does not pay for pydantic.
"""
