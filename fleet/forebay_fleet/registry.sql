-- Who may come, and as whom. Times are nanoseconds since 1970, UTC. Other parts of the server keep tables of their own in the
-- same file: see `Registry.prepare`.

-- A join token is known by its hash alone: the text is printed once, when it is made.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,           -- first 8 bytes of the hash, hex: what lists and logs say
    hash BLOB NOT NULL,            -- SHA-256 of the secret
    gateway TEXT,                  -- the only id that it serves; NULL: any that is new
    replaces INTEGER NOT NULL,     -- 1: takes over the id of a box that is gone
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    used_ns INTEGER,
    used_by TEXT,                  -- id of the gateway that came with it
    used_key BLOB,                 -- SHA-256 of the key that it asked for: it may ask again if the answer was lost
    revoked_ns INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    name TEXT PRIMARY KEY,
    bound_key BLOB NOT NULL,       -- Ed25519, 32 bytes
    generation INTEGER NOT NULL,   -- of the newest certificate
    floor INTEGER NOT NULL,        -- certificates of lower generations are of a box that was replaced
    key BLOB NOT NULL,             -- SHA-256 of the newest certificate's SubjectPublicKeyInfo
    certificate BLOB NOT NULL,     -- the newest, DER
    expires_ns INTEGER NOT NULL,   -- its end
    trusts TEXT NOT NULL,          -- authorities that it was given: SHA-256 of each SPKI in hex, sorted, by spaces
    recoveries INTEGER NOT NULL,   -- since the last regular renewal
    enrolled_ns INTEGER NOT NULL,
    renewed_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX floors ON gateways (name, floor) WHERE floor > 0;

-- Who may not come, whether it was enrolled or has a certificate made by hand.
CREATE TABLE denied (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,           -- 'locked': two boxes are one; 'revoked': by a person
    reason TEXT NOT NULL,
    since_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the running server says of itself to commands: where it listens, which authority its certificate is of.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
