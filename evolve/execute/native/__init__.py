"""Elementwise parts of plans as machine code: one loop that loads donors, computes in float32 and stores once."""
