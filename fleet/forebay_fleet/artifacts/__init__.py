"""What boxes may run: plugins, models and agents that two people signed (TUF)."""
