"""The documented torch functions and methods that recipes may call, as operations of the plan."""

from evolve.recipe.torch_api import algebra, creation, layout, pointwise, reductions, selection

__all__ = ["algebra", "creation", "layout", "pointwise", "reductions", "selection"]
