-- The last value of each tag that a box told of. May be thrown away: boxes tell all of it again.
CREATE TABLE IF NOT EXISTS shadows (
    gateway TEXT NOT NULL,
    device TEXT NOT NULL,
    tag TEXT NOT NULL,
    turn INTEGER NOT NULL,         -- of the full report that told it last, or that came before it
    value BLOB NOT NULL,           -- ShadowValue of fleet.proto
    PRIMARY KEY (gateway, device, tag)
) STRICT, WITHOUT ROWID;
