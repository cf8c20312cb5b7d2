"""evolve discovers model-merge recipes by evolving small PyTorch programs."""

__version__ = "0.1.0"
