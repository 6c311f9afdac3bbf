"""What a running agent changes of itself when it is asked to."""
