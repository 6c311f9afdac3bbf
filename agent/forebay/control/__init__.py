"""The local control socket: what `forebay` commands ask of a running agent.

`view` says what the agent must be able to tell, `server` answers with it on a Unix socket, `client`
asks. Must not know the agent itself, nor any engine.
"""
