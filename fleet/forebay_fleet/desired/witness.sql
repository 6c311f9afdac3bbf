-- How far the journal of each box was when it last said so. Times are nanoseconds since 1970, UTC.
CREATE TABLE witness (
    gateway TEXT NOT NULL,
    stream TEXT NOT NULL,
    instance BLOB NOT NULL,        -- of the enrollment: another box of this name has another journal
    epoch INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream)
) STRICT, WITHOUT ROWID;

-- The last time that a stream of a journal went back.
CREATE TABLE setbacks (
    gateway TEXT NOT NULL,
    stream TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (gateway, stream)
) STRICT, WITHOUT ROWID;
