-- What each box is to run, and what it said last. Times are nanoseconds since 1970, UTC.

-- The newest state of each gateway alone counts; `signed` is a message Signed of fleet.proto.
CREATE TABLE desired (
    gateway TEXT PRIMARY KEY,
    version INTEGER NOT NULL,      -- goes up for ever
    offer_id TEXT NOT NULL,
    hash BLOB NOT NULL,            -- of the configuration
    issued_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    signed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE contents (
    sha256 BLOB PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- Which contents the newest state of a gateway names: only these may it fetch.
CREATE TABLE named (
    gateway TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (gateway, sha256)
) STRICT, WITHOUT ROWID;

-- The last of each part of AgentToServer, as it came.
CREATE TABLE reports (
    gateway TEXT PRIMARY KEY,
    online INTEGER NOT NULL,       -- 1: its stream is open
    seen_ns INTEGER NOT NULL,
    version TEXT NOT NULL,         -- of the agent
    health BLOB NOT NULL,          -- Health
    config BLOB NOT NULL           -- ConfigStatus
) STRICT, WITHOUT ROWID;
