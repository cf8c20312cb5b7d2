"""mergekit's merge methods and what they are called here.

Names, defaults and precedence follow mergekit's documentation and its observed behaviour (0.1.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Number = float | int | bool

BaseUse = Literal["required", "optional", "input", "ends"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method.

    ``argument`` is its name in evolve.methods, ``default`` mergekit's (None: it must be given), ``given`` that of
    evolve.methods where it differs. ``bounds`` are those of its knob; without bounds it is a plain literal, the same
    for all tensors.
    """

    argument: str
    default: Number | None = None
    given: Number | None = None
    per_model: bool = False
    bounds: tuple[float, float] | None = None

    @property
    def must_be_written(self) -> bool:
        """Whether the default of evolve.methods would be another."""
        return self.default != (self.default if self.given is None else self.given)


@dataclass(frozen=True)
class Method:
    """A merge method: ``models`` are the least and the most models besides a base.

    ``base`` says what base_model is: ``required``, ``optional``, one more ``input``, or one of the two ``ends`` of an
    interpolation. ``fixed`` are arguments that make the function behave as mergekit's; ``weights_first`` methods take
    their weights by position. Where ``divides`` the normalisation is done on the weights before the call.
    """

    models: tuple[int, int | None]
    base: BaseUse
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    divides: bool = False


_WEIGHT = Parameter("weights", per_model=True, bounds=(-0.5, 1.5))
_LAMBDA = Parameter("scale", 1.0, bounds=(0.0, 2.0))
_T = Parameter("t", bounds=(0.0, 1.0))


def _density(given: float) -> Parameter:
    return Parameter("density", 1.0, given, per_model=True, bounds=(0.0, 1.0))


def _normalize(default: bool, given: bool | None = None) -> Parameter:
    return Parameter("normalize", default, given)


_DARE = {"weight": _WEIGHT, "density": _density(0.5), "lambda": _LAMBDA, "rescale": Parameter("rescale", True)}
_DELLA = {
    "weight": _WEIGHT,
    "density": _density(0.5),
    "epsilon": Parameter("epsilon", 0.15, 0.3, per_model=True, bounds=(0.0, 0.5)),
    "lambda": _LAMBDA,
    "rescale": Parameter("rescale", True),
}
_BREADCRUMBS = {
    "weight": _WEIGHT,
    "density": _density(0.143),
    "gamma": Parameter("gamma", 0.01, 0.007, per_model=True, bounds=(0.0, 0.5)),
    "lambda": _LAMBDA,
}

METHODS: Mapping[str, Method] = {
    "linear": Method((1, None), "input", {"weight": _WEIGHT, "normalize": _normalize(True)}),
    "slerp": Method((2, 2), "ends", {"t": _T}),
    "nuslerp": Method(
        (2, 2),
        "optional",
        {
            "weight": Parameter("weights", per_model=True, bounds=(0.0, 1.5)),
            "nuslerp_flatten": Parameter("flatten", True),
            "nuslerp_row_wise": Parameter("row_wise", False),
        },
    ),
    "multislerp": Method(
        (2, None),
        "optional",
        {"weight": _WEIGHT, "normalize_weights": _normalize(True), "eps": Parameter("eps", 1e-8)},
    ),
    "karcher": Method(
        (2, None), "input", {"max_iter": Parameter("iterations", 10), "tol": Parameter("tolerance", 1e-5)}
    ),
    "task_arithmetic": Method(
        (1, None), "required", {"weight": _WEIGHT, "lambda": _LAMBDA, "normalize": _normalize(False)}, divides=True
    ),
    "ties": Method(
        (1, None),
        "required",
        {"weight": _WEIGHT, "density": _density(0.2), "lambda": _LAMBDA, "normalize": _normalize(True)},
    ),
    "dare_linear": Method((1, None), "required", {**_DARE, "normalize": _normalize(False)}, divides=True),
    "dare_ties": Method((1, None), "required", {**_DARE, "normalize": _normalize(False)}),
    "della": Method((1, None), "required", {**_DELLA, "normalize": _normalize(True)}),
    "della_linear": Method((1, None), "required", {**_DELLA, "normalize": _normalize(False)}, divides=True),
    "breadcrumbs": Method((1, None), "required", {**_BREADCRUMBS, "normalize": _normalize(False)}, divides=True),
    "breadcrumbs_ties": Method((1, None), "required", {**_BREADCRUMBS, "normalize": _normalize(False)}),
    "sce": Method((1, None), "required", {"select_topk": Parameter("select_topk", 1.0, bounds=(0.0, 1.0))}),
    "model_stock": Method((2, None), "required", {"filter_wise": Parameter("filter_wise", False)}),
    "nearswap": Method((2, 2), "ends", {"t": Parameter("t", bounds=(0.0, 0.1))}),
    "arcee_fusion": Method((2, 2), "ends"),
    "passthrough": Method((1, 1), "input", {"scale": Parameter("scale", 1.0, per_model=True, bounds=(0.0, 2.0))}),
}

WITHOUT_EFFECT = frozenset({"int8_mask"}.union(*(method.parameters for method in METHODS.values())))
"""Parameters that mergekit takes anywhere; those that a method does not have change nothing, nor does ``int8_mask``."""
