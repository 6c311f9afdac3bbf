-- Who may use the page and REST, and what was done. Times are nanoseconds since 1970, UTC.

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    role INTEGER NOT NULL,         -- access.roles.Role
    password TEXT,                 -- argon2id, as its own text says; NULL: signs in elsewhere (OIDC)
    subject TEXT NOT NULL,         -- issuer and subject of OIDC; '': a local user
    disabled INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    signed_in_ns INTEGER NOT NULL  -- 0: never
) STRICT, WITHOUT ROWID;

-- A session is known by the hash of its cookie alone.
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,         -- SHA-256
    person TEXT NOT NULL,          -- a name of users
    via TEXT NOT NULL,
    began_ns INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    ends_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,           -- first 8 bytes of the hash, hex: what lists, logs and the trail say
    hash BLOB NOT NULL,            -- SHA-256
    name TEXT NOT NULL,
    role INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    ends_ns INTEGER NOT NULL,
    used_ns INTEGER NOT NULL,      -- to the hour; 0: never
    revoked_ns INTEGER             -- NULL: is not
) STRICT, WITHOUT ROWID;

-- Who did what, and why. Only ever added to.
CREATE TABLE trail (
    id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    who TEXT NOT NULL,
    role INTEGER NOT NULL,
    via TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    why TEXT NOT NULL,
    details TEXT NOT NULL          -- JSON
) STRICT;
CREATE INDEX trail_by_subject ON trail (subject, id);
