-- Where the weights of an evaluated merge come from.

CREATE TABLE provenance (
    evaluation_id INTEGER NOT NULL PRIMARY KEY REFERENCES evaluations (id),
    base          TEXT NOT NULL,                            -- the donor that differences are taken from
    model         TEXT NOT NULL CHECK (json_valid(model)),  -- the measures of the model as a whole
    places        BLOB NOT NULL                             -- zlib of JSON: the measures of every layer and role
) STRICT;
