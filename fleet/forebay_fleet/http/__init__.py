"""The server's port for people and programs: the page and REST, over HTTPS."""
