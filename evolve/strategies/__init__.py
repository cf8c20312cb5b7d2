"""Search strategies: what is proposed next, and what is made of the result."""
