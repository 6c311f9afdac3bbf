"""The store: one SQLite file per server. `writer` is the only connection that changes it; `reader` opens as many as are wanted."""
