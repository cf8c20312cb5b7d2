"""The plan: a traced recipe as plain data, its rules, its digest and its validation."""
