"""What a plugin is written with: a class with `setup` and `process`, served to the gateway."""
