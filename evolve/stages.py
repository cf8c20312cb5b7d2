"""Stages: cheap tests that a program must pass before it is worth an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.errors import StageRejected

MEASURES = {
    "static": ("characters", "lines", "donors", "operations_per_site"),
    "plan": ("operations", "copied", "templates"),
}
"""What stages of these two kinds may measure; ``evolve.loop.stages`` defines them."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One table ``[[stages]]`` of problem.toml.

    ``kind`` is ``static`` (limits of the text and the plan) or ``plan`` (statistics of the plan), both with a
    ``measure`` of ``MEASURES``; or ``metric``: a function ``stage_<name>(candidate) -> float`` of evaluate.py, called
    with the first ``items`` items of the search split (0: all). The value must lie between ``min`` and ``max``; None is
    no limit.
    """

    name: str
    kind: str
    measure: str = ""
    items: int = 0
    min: float | None = None
    max: float | None = None

    @property
    def fault(self) -> str:
        """What is wrong with the table, empty when nothing is."""
        if self.kind != "metric" and self.kind not in MEASURES:
            return f"kind must be 'static', 'plan' or 'metric', not {self.kind!r}"
        known = MEASURES.get(self.kind, ("",))
        if self.measure not in known:
            return (
                f"measure must be one of {', '.join(known)}, not {self.measure!r}"
                if any(known)
                else (f"a stage of kind 'metric' measures stage_{self.name}() of evaluate.py; remove the key measure")
            )
        if not self.name.isidentifier():
            return f"name must be a Python name, not {self.name!r}"
        if self.items < 0 or (self.items and self.kind != "metric"):
            return f"items = {self.items} is impossible; only a stage of kind 'metric' reads items, 0 or more"
        if self.min is None and self.max is None:
            return "give it a min or a max"
        return ""

    @property
    def needs_plan(self) -> bool:
        """Whether it measures a plan, which only merge problems have."""
        return self.kind == "plan" or self.measure in ("donors", "operations_per_site")

    def check(self, value: float) -> None:
        """Raises StageRejected with stage, value and threshold when the value is outside."""
        what = f"stage {self.name}: {self.measure or self.name} {value:.6g}"
        if self.max is not None and value > self.max:
            raise StageRejected(f"{what} is over the maximum {self.max:.6g}")
        if self.min is not None and value < self.min:
            raise StageRejected(f"{what} is under the minimum {self.min:.6g}")
