"""Who writes the next program: a language-model ensemble or the offline mutator."""
