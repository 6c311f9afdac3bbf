-- What a gateway sent, in the very bytes of its journal.
CREATE TABLE records (
  id INTEGER PRIMARY KEY,
  line INTEGER NOT NULL REFERENCES lines,
  seq INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  historical INTEGER NOT NULL,
  samples INTEGER NOT NULL,       -- in the payload
  thinned INTEGER NOT NULL,       -- samples that thinning took from it
  late INTEGER NOT NULL,          -- 1: a gap had accounted for the position; the chain goes without it
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
CREATE INDEX anchors ON records (gateway, line, seq) WHERE kind = 4;
