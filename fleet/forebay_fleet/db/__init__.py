"""Where tables are: SQLite beside the server, or PostgreSQL for several servers at once."""
