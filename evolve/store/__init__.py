"""The program database of a run: one SQLite file, one writer, any number of readers."""
