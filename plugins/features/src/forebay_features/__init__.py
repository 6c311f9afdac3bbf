"""Features of evenly sampled blocks, as a Forebay plugin."""
