"""One parameter of the merged model, as a recipe sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ROLES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "q_norm", "k_norm",
    "input_norm", "post_norm", "pre_mlp_norm", "post_mlp_norm", "embed", "head", "final_norm",
)  # fmt: skip
BLOCKS = ("attention", "mlp", "norm", "embedding", "head")


@dataclass(frozen=True)
class Site:
    """A parameter: ``layer`` is None outside the layers, ``depth`` runs from 0 (first) to 1 (last), ``kind`` is
    ``weight`` or ``bias``."""

    name: str
    layer: int | None
    depth: float
    role: str
    block: str
    shape: tuple[int, ...]
    kind: str = "weight"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Site:
        return cls(**{**data, "shape": tuple(data["shape"])})
