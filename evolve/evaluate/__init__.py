"""Evaluates programs in separate processes."""
