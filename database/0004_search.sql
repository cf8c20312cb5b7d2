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

-- A partial evaluation is never taken for a whole one: views that rank or compare leave it out or mark it.
-- Ablations (patch 'ablation') measure a part of another program; they are no candidates and rank nowhere.

DROP VIEW programs;
CREATE VIEW programs AS
SELECT
    p.id, p.state, e.score, p.island, p.generation, p.parent_id, p.mate_id, p.patch, p.proposer,
    p.description, p.seed_name, p.reason, p.message, p.line, p.duplicate_of, p.archive_status,
    e.items, e.items_total, e.stopped, e.metrics, e.features, e.seconds, p.cost_usd, p.source_digest, p.plan_digest,
    p.knobs, p.proposed_at, p.finished_at, s.source
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN sources s ON s.text_digest = p.text_digest;

DROP VIEW leaderboard;
CREATE VIEW leaderboard AS
SELECT
    rank() OVER (ORDER BY e.score DESC) AS place, p.id, e.score, v.score AS validation_score,
    t.score AS test_score, p.island, p.generation, p.parent_id, p.patch, p.proposer, p.seed_name, p.description, e.metrics, e.features
FROM evaluations e
JOIN proposals p ON p.id = e.proposal_id
LEFT JOIN evaluations v ON v.proposal_id = p.id AND v.split = 'validation'
LEFT JOIN evaluations t ON t.proposal_id = p.id AND t.split = 'test'
WHERE e.split = 'search' AND e.stopped IS NULL AND p.patch <> 'ablation'
ORDER BY e.score DESC, p.id;

-- The mean over the items of the splits search and fresh, where a program has both.
CREATE VIEW standings AS
SELECT
    e.proposal_id, coalesce((e.score * e.items + f.score * f.items) / (e.items + f.items), e.score) AS standing,
    e.items + coalesce(f.items, 0) AS items, f.id IS NOT NULL AS verified
FROM evaluations e
JOIN proposals p ON p.id = e.proposal_id
LEFT JOIN evaluations f ON f.proposal_id = e.proposal_id AND f.split = 'fresh'
WHERE e.split = 'search' AND e.stopped IS NULL AND p.patch <> 'ablation';

DROP VIEW improvements;
DROP VIEW progress;
CREATE VIEW progress AS
SELECT
    row_number() OVER in_order AS evaluation, e.proposal_id, e.score,
    max(iif(e.stopped IS NULL AND p.patch <> 'ablation', e.score, NULL)) OVER in_order AS best,
    max(iif(e.stopped IS NULL AND p.patch <> 'ablation', e.score, NULL)) OVER (
        ORDER BY e.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS best_before,
    e.stopped, e.created
FROM evaluations e
JOIN proposals p ON p.id = e.proposal_id
WHERE e.split = 'search'
WINDOW in_order AS (ORDER BY e.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE VIEW improvements AS
SELECT
    g.evaluation, g.proposal_id, g.score, g.score - g.best_before AS gain, p.parent_id, p.patch, p.proposer,
    p.description, g.created
FROM progress g
JOIN proposals p ON p.id = g.proposal_id
WHERE g.stopped IS NULL AND p.patch <> 'ablation' AND (g.best_before IS NULL OR g.score > g.best_before);

DROP VIEW lineage;
CREATE VIEW lineage AS
SELECT
    p.id, p.parent_id, p.mate_id, p.generation, p.state, p.patch, p.proposer, p.description, e.score,
    a.score AS parent_score, iif(e.stopped IS NULL, e.score - a.score, NULL) AS gain, p.reason
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search';

DROP VIEW proposers;
CREATE VIEW proposers AS
SELECT
    p.proposer, count(*) AS proposals,
    sum(p.state = 'scored') AS scored,
    coalesce(sum(e.stopped IS NOT NULL), 0) AS raced,
    sum(p.state = 'duplicate') AS duplicates,
    sum(p.state = 'rejected') AS rejected,
    sum(p.state = 'failed') AS failed,
    coalesce(sum(p.archive_status IN ('improve_existing', 'new')), 0) AS archived,
    coalesce(sum(e.stopped IS NULL AND e.score > a.score), 0) AS beat_parent,
    max(iif(e.stopped IS NULL, e.score, NULL)) AS best,
    total(p.cost_usd) AS cost_usd,
    sum(p.cost_usd IS NULL) AS unknown_costs
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search'
WHERE p.seed_name IS NULL
GROUP BY p.proposer;
