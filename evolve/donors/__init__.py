"""The source models of a merge: found, opened, checked against each other, adapted, and measured once."""
