-- Elites of other runs (`evolve merge-runs`): programs with patch 'import' are scored but were not evaluated here.
-- An evaluation is used by what reached evaluating_at and ended scored or failed; imports never reach it.

DROP VIEW states;
CREATE VIEW states AS
SELECT
    state, count(*) AS proposals,
    sum(evaluating_at IS NOT NULL AND state IN ('scored', 'failed')) AS evaluations
FROM proposals
GROUP BY state;

-- An import may raise the best score but is no evaluation: it has the number of the one before it.
DROP VIEW improvements;
DROP VIEW progress;
CREATE VIEW progress AS
SELECT
    sum(p.patch <> 'import') OVER in_order AS evaluation, e.proposal_id, e.score,
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
