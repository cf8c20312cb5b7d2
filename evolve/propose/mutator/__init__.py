"""The offline mutator: edits of a program's syntax tree, with no language model."""
