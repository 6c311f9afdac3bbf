-- Boxes by what they have in common, and rollouts. Times are nanoseconds since 1970, UTC.

CREATE TABLE labels (
    gateway TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (gateway, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_value ON labels (name, value);

CREATE TABLE groups_of (
    name TEXT PRIMARY KEY,
    selector TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a template says for each box: JSON of a text, whole number, number or truth value.
CREATE TABLE variables (
    gateway TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (gateway, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    began_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,     -- 0: has not
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    state TEXT NOT NULL,           -- rollouts.plans.State
    said TEXT NOT NULL,            -- why it is in this state
    selector TEXT NOT NULL,
    plan TEXT NOT NULL,            -- rollouts.plans.Plan as JSON
    agent TEXT NOT NULL,           -- a version of the agent to run; '': says nothing
    min_agent TEXT NOT NULL,
    wave INTEGER NOT NULL,         -- that is under way
    ending TEXT NOT NULL           -- what is left to be done after an abort: rollouts.book.Ending
) STRICT, WITHOUT ROWID;
CREATE INDEX rollouts_by_time ON rollouts (began_ns);

-- The template of a rollout.
CREATE TABLE rollout_files (
    rollout TEXT NOT NULL,
    path TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (rollout, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollout_boxes (
    rollout TEXT NOT NULL,
    gateway TEXT NOT NULL,
    wave INTEGER NOT NULL,
    state TEXT NOT NULL,           -- rollouts.plans.BoxState
    said TEXT NOT NULL,            -- why; the next step for a person
    offer_id TEXT NOT NULL,        -- '': not offered yet
    hash BLOB NOT NULL,            -- of the configuration that it was offered
    since_ns INTEGER NOT NULL,     -- of the state
    variables TEXT NOT NULL,       -- its own at the start, JSON
    before BLOB NOT NULL,          -- DesiredState that it was told before; empty: nothing
    PRIMARY KEY (rollout, gateway)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_boxes_by_state ON rollout_boxes (rollout, wave, state);
CREATE INDEX rollout_boxes_open ON rollout_boxes (state, rollout);
CREATE INDEX rollout_boxes_by_gateway ON rollout_boxes (gateway);

-- Files that boxes were told before, kept as long as they may be put back.
CREATE TABLE rollout_contents (
    rollout TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (rollout, sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
