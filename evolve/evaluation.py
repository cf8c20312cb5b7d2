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

    @classmethod
    def over_tasks(
        cls, items: Sequence[Mapping[str, Any]], outcomes: Sequence[float], weights: Mapping[str, float] | None = None
    ) -> Evaluation:
        """The weighted mean of the tasks' mean outcomes, with a metric ``accuracy_TASK`` for each task.

        ``items`` name their ``task``; ``weights`` are by task, 1 where left out. Raises EvaluatorError for no items,
        unequal lengths, a negative weight, or weights that sum to nothing.
        """
        if not items or len(items) != len(outcomes):
            raise EvaluatorError(f"over_tasks() got {len(items)} items and {len(outcomes)} outcomes; give one for each")
        by_task: dict[str, list[float]] = {}
        for item, outcome in zip(items, outcomes, strict=True):
            by_task.setdefault(str(item["task"]), []).append(float(outcome))
        parts = {task: float((weights or {}).get(task, 1.0)) for task in by_task}
        total = sum(parts.values())
        if min(parts.values()) < 0 or not total > 0:
            raise EvaluatorError(f"over_tasks() got the weights {parts}; none may be negative and one must be positive")
        means = {task: sum(values) / len(values) for task, values in sorted(by_task.items())}
        score = sum(parts[task] * mean for task, mean in means.items()) / total
        metrics = {"accuracy": score, **{f"accuracy_{task}": mean for task, mean in means.items()}}
        return cls(score=score, metrics=metrics, outcomes=list(outcomes))

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
