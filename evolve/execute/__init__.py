"""Runs plans: whole tensors, blocks, compiled loops, and what is kept from one candidate to the next."""
