"""What an evaluator returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evolve.errors import EvaluatorError


@dataclass(frozen=True)
class Evaluation:
    """The result of one program on one split.

    ``score`` is what the problem's ``[score]`` declares (finite). ``features`` place the program in a cell.
    ``outcomes`` holds one number in 0..1 per item, in the order of the split's file; empty where a problem has no
    items. ``feedback`` is shown to whoever proposes the next program.
    """

    score: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, float] = field(default_factory=dict)
    outcomes: Sequence[float] = ()
    feedback: str = ""

    def __post_init__(self) -> None:
        numbers = {"score": self.score, **{f"metrics[{k!r}]": v for k, v in self.metrics.items()}}
        numbers.update({f"features[{k!r}]": v for k, v in self.features.items()})
        numbers.update({f"outcomes[{i}]": v for i, v in enumerate(self.outcomes)})
        for name, value in numbers.items():
            try:
                finite = math.isfinite(value)
            except TypeError:
                raise EvaluatorError(f"evaluate() returned {name} = {value!r}; return a finite number") from None
            if not finite:
                raise EvaluatorError(f"evaluate() returned {name} = {value!r}; return a finite number")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data; numpy numbers become Python numbers."""
        data = asdict(self)
        data["score"] = float(self.score)
        data["metrics"] = {str(k): float(v) for k, v in self.metrics.items()}
        data["features"] = {str(k): float(v) for k, v in self.features.items()}
        data["outcomes"] = [float(v) for v in self.outcomes]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        return cls(**data)
