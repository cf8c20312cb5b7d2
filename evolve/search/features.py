"""Behaviour descriptors and the fixed grid they span, as the archive uses them; ``evolve.features`` defines them."""

from evolve.features import CellIndex, FeatureAxis, cell_key, cell_of, parse_key

__all__ = ["CellIndex", "FeatureAxis", "cell_key", "cell_of", "parse_key"]
