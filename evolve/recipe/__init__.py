"""What a recipe imports: named numbers that a numeric optimiser may tune."""

from evolve.recipe.knobs import Knob, knob

__all__ = ["Knob", "knob"]
