"""What benchmarks/merge.py measures: merge methods as mergekit and as evolve write them, and models of four sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "base"
EXPERTS = ("a", "b", "c")
DONORS = (BASE, *EXPERTS)

_WEIGHTS = (0.5, 0.3, 0.2)
_DENSITIES = (0.5, 0.3, 0.5)
# mergekit draws from density - epsilon to density + epsilon, evolve's epsilon is the whole width.
_EPSILON = 0.15
_GAMMA = 0.01

# Llama: hidden size, intermediate size, layers, heads, key-value heads, vocabulary.
SIZES: Mapping[str, tuple[int, int, int, int, int, int]] = {
    "tiny": (64, 176, 4, 4, 2, 512),
    "125m": (768, 2048, 12, 12, 12, 32000),
    "1b": (2048, 8192, 16, 32, 8, 32000),
    "7b": (4096, 11008, 32, 32, 32, 32000),
}


def model_config(size: str) -> dict[str, Any]:
    """The config.json of a size, as both mergekit and evolve read it."""
    hidden, intermediate, layers, heads, key_values, vocabulary = SIZES[size]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_values,
        "head_dim": hidden // heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 2048,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


@dataclass(frozen=True)
class Method:
    """A merge method with its parameters.

    ``parameters`` and ``own`` are mergekit's, for the whole merge and for each model; ``call`` is evolve's, with
    numbers such as ``{weights}`` to be filled in. ``donors`` are those that are read.
    """

    name: str
    donors: Sequence[str]
    call: str
    own: Sequence[str] = ("weight",)
    parameters: Mapping[str, Any] | None = None

    def mergekit(self, folder: Path) -> dict[str, Any]:
        """The configuration that mergekit-yaml reads, with every number at its first value."""
        values = {"weight": _WEIGHTS, "density": _DENSITIES, "epsilon": [_EPSILON] * 3, "gamma": [_GAMMA] * 3}
        models = [
            {"model": str(folder / donor), "parameters": {name: values[name][index] for name in self.own}}
            for index, donor in enumerate(donor for donor in self.donors if donor in EXPERTS)
        ]
        config: dict[str, Any] = {"merge_method": self.name, "models": models, "dtype": "bfloat16"}
        if self.name != "linear":
            config["base_model"] = str(folder / (BASE if BASE in self.donors else self.donors[0]))
        if self.parameters:
            config["parameters"] = dict(self.parameters)
        return config

    def recipe(self, step: int = 0, densities: bool = True) -> str:
        """The recipe; each ``step`` has other numbers, step 0 those of ``mergekit``.

        Without ``densities`` only weights (and SLERP's t) change, as when weights are tuned.
        """
        shift = 0.01 * step
        numbers = {
            "weights": [round(weight + shift, 4) for weight in _WEIGHTS],
            "densities": [round(density + shift * densities, 4) for density in _DENSITIES],
            "t": round(0.4 + shift, 4),
            "epsilon": 2 * _EPSILON,
            "gamma": _GAMMA,
        }
        arguments = ", ".join(self.donors)
        return (
            f"from evolve.methods import {self.name}\n\n\n"
            f"def merge(site, {arguments}):\n    return {self.name}({self.call.format(**numbers)})\n"
        )

    def in_one_layer(self, step: int) -> str:
        """The recipe with other numbers for each ``step`` in layer 1 alone."""
        body = "\n".join(self.recipe(0).splitlines()[:-1])
        calls = [self.recipe(number, densities=False).splitlines()[-1].strip() for number in (step, 0)]
        return f"{body}\n    if site.layer == 1:\n        {calls[0]}\n    {calls[1]}\n"


_TRIMMED = "base, [a, b, c], {weights}, density={densities}"
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("linear", EXPERTS, "[a, b, c], {weights}"),
        Method("slerp", ("a", "b"), "a, b, {t}", own=(), parameters={"t": 0.4}),
        Method("task_arithmetic", DONORS, "base, [a, b, c], {weights}", parameters={"normalize": False}),
        Method("ties", DONORS, _TRIMMED, own=("weight", "density"), parameters={"normalize": True}),
        Method(
            "dare_ties", DONORS, _TRIMMED + ', rescale="l1"', own=("weight", "density"), parameters={"normalize": False}
        ),
        Method(
            "della", DONORS, _TRIMMED + ', epsilon={epsilon}, rescale="l1"', own=("weight", "density", "epsilon"),
            parameters={"normalize": True},
        ),
        Method(
            "breadcrumbs", DONORS, _TRIMMED + ", gamma={gamma}", own=("weight", "density", "gamma"),
            parameters={"normalize": False},
        ),
    )
}  # fmt: skip
