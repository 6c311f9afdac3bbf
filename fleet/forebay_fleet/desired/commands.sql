-- Commands to boxes, and what became of them. Times are nanoseconds since 1970, UTC.
CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    gateway TEXT NOT NULL,
    issued_ns INTEGER NOT NULL,
    not_after_ns INTEGER NOT NULL,
    signed BLOB NOT NULL,          -- Signed of fleet.proto, kind "command"
    result BLOB                    -- CommandResult; absent: none has come
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_open ON commands (gateway, issued_ns) WHERE result IS NULL;
