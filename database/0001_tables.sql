-- Tables of one run. README.md in this folder explains each of them.
-- Times are UTC text (2026-01-31T12:00:00.000Z), durations are seconds, costs are US dollars.
-- A score is always maximised: a problem that minimises is negated once before it arrives here (run.direction).

PRAGMA application_id = 1163284300; -- "EVOL"

CREATE TABLE run (
    only_row  INTEGER NOT NULL DEFAULT 1 PRIMARY KEY CHECK (only_row = 1),
    id        TEXT NOT NULL CHECK (id <> ''),
    problem   TEXT NOT NULL,
    profile   TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('maximize', 'minimize')),
    digests   TEXT NOT NULL CHECK (json_valid(digests)),
    config    TEXT NOT NULL CHECK (json_valid(config)),
    seed      INTEGER NOT NULL,
    version   TEXT NOT NULL,
    created   TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('created', 'running', 'stopped', 'finished', 'failed')),
    winner_id INTEGER REFERENCES proposals (id)
) STRICT;

CREATE TABLE sources (
    text_digest   TEXT NOT NULL PRIMARY KEY, -- sha256 of the exact text
    source_digest TEXT NOT NULL,             -- ignores comments and formatting
    source        TEXT NOT NULL
) STRICT;

CREATE TABLE plans (
    plan_digest TEXT NOT NULL PRIMARY KEY,
    plan        BLOB NOT NULL,             -- zlib of the JSON text
    size_bytes  INTEGER NOT NULL           -- of the JSON text
) STRICT;

CREATE TABLE proposals (
    id             INTEGER NOT NULL PRIMARY KEY, -- order in which they were asked for
    state          TEXT NOT NULL DEFAULT 'proposed' CHECK (state IN (
                       'proposed', 'traced', 'queued', 'evaluating',
                       'scored', 'duplicate', 'rejected', 'failed', 'abandoned')),
    reason         TEXT,    -- short word, for duplicate, rejected, failed and abandoned
    message        TEXT,
    line           INTEGER, -- of the source, when the message points at one
    duplicate_of   INTEGER REFERENCES proposals (id),
    island         INTEGER NOT NULL CHECK (island >= 0),
    generation     INTEGER NOT NULL CHECK (generation >= 0),
    parent_id      INTEGER REFERENCES proposals (id),
    mate_id        INTEGER REFERENCES proposals (id),
    patch          TEXT NOT NULL CHECK (patch <> ''),
    proposer       TEXT NOT NULL CHECK (proposer <> ''),
    description    TEXT NOT NULL DEFAULT '',
    seed_name      TEXT,    -- file name of a seed; seeds are the baselines
    text_digest    TEXT REFERENCES sources (text_digest),
    source_digest  TEXT,
    plan_digest    TEXT REFERENCES plans (plan_digest),
    knobs          TEXT CHECK (knobs IS NULL OR json_valid(knobs)),
    archive_status TEXT CHECK (archive_status IN ('not_added', 'improve_existing', 'new')),
    cost_usd       REAL CHECK (cost_usd >= 0), -- NULL: unknown
    proposed_at    TEXT NOT NULL,
    traced_at      TEXT,
    queued_at      TEXT,
    evaluating_at  TEXT,
    finished_at    TEXT,
    CHECK ((finished_at IS NULL) = (state IN ('proposed', 'traced', 'queued', 'evaluating'))),
    CHECK ((text_digest IS NULL) = (source_digest IS NULL)),
    CHECK (state <> 'duplicate' OR duplicate_of IS NOT NULL),
    CHECK (state NOT IN ('rejected', 'failed', 'abandoned') OR reason IS NOT NULL)
) STRICT;

CREATE INDEX proposals_by_state ON proposals (state, evaluating_at);
CREATE INDEX proposals_unfinished ON proposals (id) WHERE finished_at IS NULL;
CREATE INDEX proposals_by_source ON proposals (source_digest) WHERE source_digest IS NOT NULL;
CREATE INDEX proposals_by_plan ON proposals (plan_digest) WHERE plan_digest IS NOT NULL;
CREATE INDEX proposals_by_parent ON proposals (parent_id, state, archive_status) WHERE parent_id IS NOT NULL;
CREATE INDEX proposals_by_original ON proposals (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX proposals_by_seed ON proposals (seed_name) WHERE seed_name IS NOT NULL;

CREATE TABLE inspirations (
    proposal_id INTEGER NOT NULL REFERENCES proposals (id),
    position    INTEGER NOT NULL CHECK (position >= 0), -- order in the prompt, worst first
    program_id  INTEGER NOT NULL REFERENCES proposals (id),
    PRIMARY KEY (proposal_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluations (
    id          INTEGER NOT NULL PRIMARY KEY, -- order in which they finished
    proposal_id INTEGER NOT NULL REFERENCES proposals (id),
    split       TEXT NOT NULL CHECK (split <> ''),
    score       REAL NOT NULL,
    metrics     TEXT NOT NULL CHECK (json_valid(metrics)),
    features    TEXT NOT NULL CHECK (json_valid(features)),
    items       INTEGER NOT NULL CHECK (items >= 0), -- how many outcomes there are
    outcomes    BLOB,                                -- packed, see README.md; NULL without items
    feedback    TEXT NOT NULL,
    seconds     REAL NOT NULL CHECK (seconds >= 0),
    phases      TEXT NOT NULL CHECK (json_valid(phases)),
    created     TEXT NOT NULL,
    CHECK ((items = 0) = (outcomes IS NULL)),
    UNIQUE (proposal_id, split)
) STRICT;

CREATE INDEX evaluations_by_score ON evaluations (split, score);

CREATE TABLE cells (
    island     INTEGER NOT NULL CHECK (island >= 0),
    cell       TEXT NOT NULL, -- bin of each feature, in the problem's order: "3,0"
    program_id INTEGER NOT NULL REFERENCES proposals (id),
    score      REAL NOT NULL,
    updated    TEXT NOT NULL,
    PRIMARY KEY (island, cell)
) STRICT, WITHOUT ROWID;

CREATE TABLE llm_calls (
    id          INTEGER NOT NULL PRIMARY KEY,
    proposal_id INTEGER REFERENCES proposals (id), -- NULL: made for the run, not for one proposal
    purpose     TEXT NOT NULL,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    prompt      BLOB NOT NULL,                     -- zlib of the text
    reply       TEXT,
    tokens_in   INTEGER,
    tokens_out  INTEGER,
    cost_usd    REAL CHECK (cost_usd >= 0),        -- NULL: unknown
    seconds     REAL NOT NULL CHECK (seconds >= 0),
    error       TEXT,
    created     TEXT NOT NULL
) STRICT;

CREATE INDEX llm_calls_by_proposal ON llm_calls (proposal_id);
CREATE INDEX llm_calls_by_model ON llm_calls (provider, model, cost_usd);

CREATE TABLE events (
    id          INTEGER NOT NULL PRIMARY KEY,
    created     TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind <> ''),
    proposal_id INTEGER REFERENCES proposals (id),
    data        TEXT NOT NULL CHECK (json_valid(data))
) STRICT;

CREATE INDEX events_by_kind ON events (kind);
