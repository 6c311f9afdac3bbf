-- Batches of hours: with these apart, what ends long after a span cannot have begun in it. See history.py.
CREATE INDEX IF NOT EXISTS records_long ON records (gateway, schema_id, time_max_ns)
  WHERE schema_id IS NOT NULL AND time_max_ns / 3600000000000 > time_min_ns / 3600000000000 + 1;
