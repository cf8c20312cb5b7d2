-- Views for people. They only read; README.md in this folder shows what to ask of them.

CREATE VIEW programs AS
SELECT
    p.id, p.state, e.score, p.island, p.generation, p.parent_id, p.mate_id, p.patch, p.proposer,
    p.description, p.seed_name, p.reason, p.message, p.line, p.duplicate_of, p.archive_status,
    e.items, e.metrics, e.features, e.seconds, p.cost_usd, p.source_digest, p.plan_digest, p.knobs,
    p.proposed_at, p.finished_at, s.source
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN sources s ON s.text_digest = p.text_digest;

CREATE VIEW leaderboard AS
SELECT
    rank() OVER (ORDER BY e.score DESC) AS place, p.id, e.score, v.score AS validation_score,
    t.score AS test_score, p.island, p.generation, p.parent_id, p.patch, p.proposer, p.seed_name, p.description, e.metrics, e.features
FROM evaluations e
JOIN proposals p ON p.id = e.proposal_id
LEFT JOIN evaluations v ON v.proposal_id = p.id AND v.split = 'validation'
LEFT JOIN evaluations t ON t.proposal_id = p.id AND t.split = 'test'
WHERE e.split = 'search'
ORDER BY e.score DESC, p.id;

CREATE VIEW elites AS
SELECT
    c.island, c.cell, c.program_id, c.score, p.island AS born_on, p.generation, p.patch, p.proposer,
    p.description, e.features, e.metrics, c.updated
FROM cells c
JOIN proposals p ON p.id = c.program_id
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search';

CREATE VIEW progress AS
SELECT
    row_number() OVER in_order AS evaluation, e.proposal_id, e.score, max(e.score) OVER in_order AS best,
    max(e.score) OVER (ORDER BY e.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS best_before, e.created
FROM evaluations e
WHERE e.split = 'search'
WINDOW in_order AS (ORDER BY e.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE VIEW improvements AS
SELECT
    g.evaluation, g.proposal_id, g.score, g.score - g.best_before AS gain, p.parent_id, p.patch, p.proposer,
    p.description, g.created
FROM progress g
JOIN proposals p ON p.id = g.proposal_id
WHERE g.best_before IS NULL OR g.score > g.best_before;

CREATE VIEW lineage AS
SELECT
    p.id, p.parent_id, p.mate_id, p.generation, p.state, p.patch, p.proposer, p.description, e.score,
    a.score AS parent_score, e.score - a.score AS gain, p.reason
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search';

CREATE VIEW failures AS
SELECT g.state, coalesce(g.reason, '') AS reason, g.proposals, g.last_id, l.message AS last_message
FROM (
    SELECT state, reason, count(*) AS proposals, max(id) AS last_id
    FROM proposals
    WHERE state IN ('duplicate', 'rejected', 'failed', 'abandoned')
    GROUP BY state, reason
) g
JOIN proposals l ON l.id = g.last_id;

CREATE VIEW baselines AS
SELECT
    p.seed_name, p.id, p.state, e.score, v.score AS validation_score, t.score AS test_score, e.items, p.reason,
    p.message
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) AND e.split = 'search'
LEFT JOIN evaluations v ON v.proposal_id = coalesce(p.duplicate_of, p.id) AND v.split = 'validation'
LEFT JOIN evaluations t ON t.proposal_id = coalesce(p.duplicate_of, p.id) AND t.split = 'test'
WHERE p.seed_name IS NOT NULL;

CREATE VIEW proposers AS
SELECT
    p.proposer, count(*) AS proposals,
    sum(p.state = 'scored') AS scored,
    sum(p.state = 'duplicate') AS duplicates,
    sum(p.state = 'rejected') AS rejected,
    sum(p.state = 'failed') AS failed,
    coalesce(sum(p.archive_status IN ('improve_existing', 'new')), 0) AS archived,
    coalesce(sum(e.score > a.score), 0) AS beat_parent,
    max(e.score) AS best,
    total(p.cost_usd) AS cost_usd,
    sum(p.cost_usd IS NULL) AS unknown_costs
FROM proposals p
LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search'
WHERE p.seed_name IS NULL
GROUP BY p.proposer;

CREATE VIEW models AS
SELECT
    provider, model, count(*) AS calls, sum(error IS NOT NULL) AS errors, sum(tokens_in) AS tokens_in,
    sum(tokens_out) AS tokens_out, total(cost_usd) AS cost_usd, sum(cost_usd IS NULL) AS unknown_costs,
    sum(seconds) AS seconds
FROM llm_calls
GROUP BY provider, model;

CREATE VIEW spending AS
SELECT
    count(*) AS calls, total(cost_usd) AS known_usd, coalesce(sum(cost_usd IS NULL), 0) AS unknown_calls
FROM llm_calls;

CREATE VIEW states AS
SELECT
    state, count(*) AS proposals,
    -- an evaluation is used by a score and by a failure while evaluating, by nothing else
    sum(state = 'scored' OR (state = 'failed' AND evaluating_at IS NOT NULL)) AS evaluations
FROM proposals
GROUP BY state;
