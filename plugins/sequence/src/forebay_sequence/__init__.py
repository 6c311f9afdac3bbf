"""Forebay plugin: whether each unit was made as its recipe says, and what holds the line if not."""
