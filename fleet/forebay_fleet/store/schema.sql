-- The fleet server's store, version 3. Times are ns since 1970 UTC; streams and kinds are the numbers of uplink.proto.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE gateways (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,          -- of the agent, at its last Hello
  boot_id TEXT NOT NULL,
  sessions INTEGER NOT NULL,      -- Hellos taken
  first_seen_ns INTEGER NOT NULL,
  last_hello_ns INTEGER NOT NULL,
  era INTEGER NOT NULL,           -- of its last Hello: meta's `era` counts how often this store was restored
  horizon INTEGER NOT NULL,       -- the newest epoch of which something was written, in its first Hello of that era
  twins INTEGER NOT NULL,         -- sessions that went on sending while a newer one of another boot was open: an alarm
  twin_ns INTEGER NOT NULL        -- the last of them; 0 for never
);

-- The ledger: one line per (gateway, stream, epoch), changed in the transaction that inserts the records it counts.
CREATE TABLE lines (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL REFERENCES gateways,
  stream INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  place INTEGER NOT NULL,         -- order among the stream's lines, then by epoch: the epoch itself, or behind those that had records
                                  -- when this one was first told of, so that it comes behind who has read them
  committed INTEGER NOT NULL,     -- 1..committed are all accounted for
  islands BLOB NOT NULL,          -- runs beyond that, little-endian uint64 pairs
  chain BLOB NOT NULL,            -- at committed
  records INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  gapped INTEGER NOT NULL,        -- samples that its Gap records and thinned records account for: the sum of gaps.counted
  thinned INTEGER NOT NULL,       -- of them, those that thinning took
  bytes INTEGER NOT NULL,
  duplicates INTEGER NOT NULL,    -- records that came again and were ignored
  late INTEGER NOT NULL,          -- records that came after a gap had accounted for their positions
  last_ns INTEGER NOT NULL,       -- receipt of the newest record
  next_seq INTEGER NOT NULL,      -- the highest that a Hello told; 0 for never
  ended INTEGER NOT NULL,         -- 1: a Hello named a newer epoch of the stream, so nothing is written here from next_seq on;
                                  -- 2: so, but this store was restored before, and the gateway has it no more: next_seq is a guess
  era INTEGER NOT NULL,           -- in which a Hello first told of it; -1 for never
  earlier INTEGER NOT NULL,       -- positions before this one were written before the gateway came here, in this era
  UNIQUE (gateway, stream, epoch)
);

-- What a gateway sent, in the very bytes of its journal, is in `records`: see records.sql, and records_postgres.sql.

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

-- Accounts for positions and samples that are not there. `seq` is that of the Gap record, or, with cause THINNED, of the
-- thinned record, which is here itself with less in it; NULL: a Hello said that the journal no longer holds these positions.
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY,
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER,
  cause TEXT NOT NULL,
  time_from_ns INTEGER NOT NULL,
  time_to_ns INTEGER NOT NULL,
  samples INTEGER,                -- as the record says; NULL: nobody can know
  counted INTEGER NOT NULL,       -- of them, what neither the store nor another gap accounts for
  source TEXT NOT NULL,
  target INTEGER REFERENCES lines, -- whose positions are missing; NULL: it names none
  seq_from INTEGER NOT NULL,
  seq_to INTEGER NOT NULL
);
CREATE INDEX gaps_by_line ON gaps (line, seq);
CREATE INDEX gaps_told ON gaps (line) WHERE seq IS NOT NULL AND cause != 'THINNED';
CREATE INDEX gaps_by_target ON gaps (target, seq_to) WHERE target IS NOT NULL;

-- Records refused for good. The gateway keeps them in quarantine; sent again and found sound, they are stored after all.
CREATE TABLE rejections (
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  samples INTEGER NOT NULL,       -- all that it stands for, with those that thinning took
  late INTEGER NOT NULL,          -- as in records
  at_ns INTEGER NOT NULL,
  PRIMARY KEY (line, seq)
) WITHOUT ROWID;

-- Alarms: one position, two different records.
CREATE TABLE forks (
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,             -- of the record that was refused
  samples INTEGER NOT NULL,       -- that it stands for
  times INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  PRIMARY KEY (line, seq, hash)
) WITHOUT ROWID;
