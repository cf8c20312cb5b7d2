-- How a run searches: what its strategy remembers of each proposal, partial evaluations, and what language models learned.

ALTER TABLE proposals ADD COLUMN note TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(note)); -- the strategy's own memory
ALTER TABLE proposals ADD COLUMN predicted REAL;   -- the score that a surrogate expected before the evaluation
ALTER TABLE proposals ADD COLUMN prompt_id INTEGER REFERENCES prompts (id);

-- An evaluation that was ended early ("raced": it almost surely loses) holds the items up to there.
ALTER TABLE evaluations ADD COLUMN stopped TEXT;
ALTER TABLE evaluations ADD COLUMN items_total INTEGER; -- items of the split; NULL where evaluations are always whole

-- Variants of the instructions that language models get, selected by the gain they bring.
CREATE TABLE prompts (
    id        INTEGER NOT NULL PRIMARY KEY,
    parent_id INTEGER REFERENCES prompts (id),
    text      TEXT NOT NULL,
    retired   INTEGER NOT NULL DEFAULT 0 CHECK (retired IN (0, 1)),
    created   TEXT NOT NULL
) STRICT;

-- What the run has learned, distilled by a language model; the newest row is shown in prompts.
CREATE TABLE scratchpads (
    id          INTEGER NOT NULL PRIMARY KEY,
    evaluations INTEGER NOT NULL CHECK (evaluations >= 0), -- evaluations made when it was written
    text        TEXT NOT NULL,
    created     TEXT NOT NULL
) STRICT;
