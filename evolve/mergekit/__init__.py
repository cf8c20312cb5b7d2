"""Reads and writes mergekit's YAML configurations: to recipes, and back from plans."""
