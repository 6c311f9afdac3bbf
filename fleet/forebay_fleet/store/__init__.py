"""The store: one SQLite file. Only `writer` changes it; `reader` may be opened many times."""
