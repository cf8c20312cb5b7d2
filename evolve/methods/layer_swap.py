"""Layer swapping: outer layers of one expert around the inner layers of another."""

from __future__ import annotations

from torch import Tensor

from evolve.site import Site


def layer_swap(
    site: Site, inner: Tensor, outer: Tensor, bottom: float = 0.2, top: float = 0.1, transition: float = 0.05
) -> Tensor:
    """``outer`` in the lowest ``bottom`` and the highest ``top`` of the depth, ``inner`` between, their mean in
    transitions.

    ``bottom``, ``top`` and ``transition`` are fractions of ``site.depth``; a transition zone lies at each inner edge
    and takes its space from the inner expert. Embeddings, head and final norm are the outer expert's. In the paper
    the outer expert knows the language, the inner one the task, and the widths are tuned in layers. Source: Layer
    swapping for zero-shot cross-lingual transfer, arXiv 2410.01335.
    """
    if site.layer is None or site.depth < bottom or site.depth > 1 - top:
        return outer
    if site.depth < bottom + transition or site.depth > 1 - top - transition:
        return (inner + outer) / 2
    return inner
