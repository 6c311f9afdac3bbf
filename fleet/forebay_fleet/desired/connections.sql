-- By which way each box is to come. Times are nanoseconds since 1970, UTC.

-- The newest settings of each gateway alone count; `signed` is a message Signed of fleet.proto.
CREATE TABLE connections (
    gateway TEXT PRIMARY KEY,
    version INTEGER NOT NULL,      -- goes up for ever
    offer_id TEXT NOT NULL,
    address TEXT NOT NULL,
    expires_ns INTEGER NOT NULL,
    signed BLOB NOT NULL,
    ended_ns INTEGER,              -- when the box said what became of them; NULL: not yet
    error TEXT NOT NULL            -- why it did not keep them; '': it did, or has not ended
) STRICT, WITHOUT ROWID;
