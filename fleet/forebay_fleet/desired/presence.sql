-- Which server a box is connected to. Times are nanoseconds since 1970, UTC.
CREATE TABLE presence (
    gateway TEXT PRIMARY KEY,
    server TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX presence_by_server ON presence (server);

-- Servers that say that they run.
CREATE TABLE servers (
    name TEXT PRIMARY KEY,
    seen_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
