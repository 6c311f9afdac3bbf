-- The fleet server's store, version 1. Times are ns since 1970 UTC; streams and kinds are the numbers of uplink.proto.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE gateways (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,          -- of the agent, at its last Hello
  boot_id TEXT NOT NULL,
  sessions INTEGER NOT NULL,      -- Hellos taken
  first_seen_ns INTEGER NOT NULL,
  last_hello_ns INTEGER NOT NULL
);

-- The ledger: one line per (gateway, stream, epoch), changed in the transaction that inserts the records it counts.
CREATE TABLE lines (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL REFERENCES gateways,
  stream INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  committed INTEGER NOT NULL,     -- 1..committed are all accounted for
  islands BLOB NOT NULL,          -- runs beyond that, little-endian uint64 pairs
  chain BLOB NOT NULL,            -- at committed
  records INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  gapped INTEGER NOT NULL,        -- samples that its Gap records account for: the sum of gaps.counted
  bytes INTEGER NOT NULL,
  duplicates INTEGER NOT NULL,    -- records that came again and were ignored
  last_ns INTEGER NOT NULL,       -- receipt of the newest record
  UNIQUE (gateway, stream, epoch)
);

-- What a gateway sent, in the very bytes of its journal.
CREATE TABLE records (
  id INTEGER PRIMARY KEY,
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  historical INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  time_min_ns INTEGER NOT NULL,
  time_max_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,   -- by this server
  hash BLOB NOT NULL,             -- SHA-256 of the payload as first written
  gateway INTEGER NOT NULL,
  schema_id INTEGER,              -- of a BATCH
  payload BLOB NOT NULL,
  UNIQUE (line, seq)
);
CREATE INDEX records_by_time ON records (gateway, schema_id, time_max_ns, time_min_ns) WHERE schema_id IS NOT NULL;

CREATE TABLE schemas (
  gateway INTEGER NOT NULL REFERENCES gateways,
  schema_id INTEGER NOT NULL,
  source TEXT NOT NULL,
  group_name TEXT NOT NULL,
  columns INTEGER NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (gateway, schema_id)
);

-- Where a tag's values are: column `col` of each batch of `schema_id`.
CREATE TABLE tags (
  gateway INTEGER NOT NULL,
  device TEXT NOT NULL,
  tag TEXT NOT NULL,
  schema_id INTEGER NOT NULL,
  col INTEGER NOT NULL,
  PRIMARY KEY (gateway, device, tag, schema_id, col)
) WITHOUT ROWID;

-- Accounts for positions and samples that are not there. `seq` is that of the Gap record; NULL: a Hello said that the
-- journal no longer holds these positions.
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY,
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER,
  cause TEXT NOT NULL,
  time_from_ns INTEGER NOT NULL,
  time_to_ns INTEGER NOT NULL,
  samples INTEGER,                -- as the record says; NULL: nobody can know
  counted INTEGER NOT NULL,       -- of them, what neither the store nor an earlier gap accounts for
  source TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq_from INTEGER NOT NULL,
  seq_to INTEGER NOT NULL
);
CREATE INDEX gaps_by_line ON gaps (line);

-- Records refused for good. The gateway keeps them in quarantine; sent again and found sound, they are stored after all.
CREATE TABLE rejections (
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  samples INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  PRIMARY KEY (line, seq)
) WITHOUT ROWID;

-- Alarms: one position, two different records.
CREATE TABLE forks (
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,             -- of the record that was refused
  times INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  PRIMARY KEY (line, seq, hash)
) WITHOUT ROWID;
