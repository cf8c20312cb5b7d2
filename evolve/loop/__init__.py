"""The steady-state engine: proposals, tracing and evaluations overlap, no generation waits for its slowest member."""
