"""Executes plans on the donors and writes merged models."""
