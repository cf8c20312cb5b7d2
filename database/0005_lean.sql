-- Every step of a proposal changes its state: an index that holds the state of all children is written each time, and
-- what is asked of children needs their rows anyway.

DROP INDEX proposals_by_parent;
CREATE INDEX proposals_by_parent ON proposals (parent_id) WHERE parent_id IS NOT NULL;
