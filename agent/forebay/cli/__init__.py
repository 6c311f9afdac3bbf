"""The `forebay` command: one module for each command, imported only when it is asked for."""
