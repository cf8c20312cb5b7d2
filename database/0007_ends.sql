-- What is asked again and again while a run goes on: what has ended since a moment, who has lost a race since the last
-- one found, and the ablations of a program among its thousands of children.

CREATE INDEX proposals_by_end ON proposals (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX proposals_ablated ON proposals (parent_id) WHERE patch = 'ablation';
CREATE INDEX evaluations_raced ON evaluations (id) WHERE stopped IS NOT NULL;
