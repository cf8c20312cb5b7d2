"""Names the parameters of a model: which role, block, layer and depth each one has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolve.errors import DonorError
from evolve.site import Site

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"
_LAYER = "model.layers."

_PROJECTIONS = {
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "o_proj",
    "mlp.gate_proj": "gate_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "down_proj",
}
_PLAIN_NORMS = {"input_layernorm": "input_norm", "post_attention_layernorm": "post_norm"}
_HEAD_NORMS = {"self_attn.q_norm": "q_norm", "self_attn.k_norm": "k_norm"}
_BRANCH_NORMS = {
    "pre_feedforward_layernorm": "pre_mlp_norm",
    "post_feedforward_layernorm": "post_mlp_norm",
}
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Architecture:
    """What the merge needs to know of a model family.

    ``roles`` maps a module inside a layer to its role, in the model's order. With ``branch_norms`` the output of
    attention and of the MLP passes a norm before it joins the residual stream (``post_norm``, ``post_mlp_norm``);
    otherwise ``post_norm`` is the norm before the MLP. With ``offset_norms`` a norm multiplies by one plus its weight.
    """

    roles: Mapping[str, str]
    branch_norms: bool = False
    offset_norms: bool = False


_LLAMA = Architecture({**_PROJECTIONS, **_PLAIN_NORMS})
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": Architecture({**_PROJECTIONS, **_HEAD_NORMS, **_PLAIN_NORMS}),
    "gemma2": Architecture({**_PROJECTIONS, **_PLAIN_NORMS, **_BRANCH_NORMS}, branch_norms=True, offset_norms=True),
}


def architecture(model_type: str) -> Architecture:
    """The family of a configuration's ``model_type``. Raises DonorError for one that is not supported."""
    try:
        return ARCHITECTURES[model_type]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise DonorError(f"the architecture {model_type!r} is not supported; supported are {known}") from None


def sites_of(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[Site]:
    """The sites of a model, in the order of ``shapes`` (parameter name to shape, tied parameters once).

    ``config`` is a transformers configuration. Depth is layer / (layers - 1) inside the layers (0 for a single layer),
    0 for the embedding and 1 for the final norm and the head. Raises DonorError for an unknown architecture or
    parameter.
    """
    family = architecture(config.model_type)
    return [_site(name, tuple(shape), config, family) for name, shape in shapes.items()]


def _site(name: str, shape: tuple[int, ...], config: Any, family: Architecture) -> Site:
    if name == EMBEDDING:
        return Site(name, None, 0.0, "embed", "embedding", shape)
    if name == FINAL_NORM:
        return Site(name, None, 1.0, "final_norm", "norm", shape)
    if name == HEAD:
        return Site(name, None, 1.0, "head", "head", shape)
    layer, module, kind = split_name(name)
    layers = config.num_hidden_layers
    if layer is None or layer >= layers or module not in family.roles or kind not in ("weight", "bias"):
        known = ", ".join(sorted({"embed", "final_norm", "head", *family.roles.values()}))
        raise DonorError(
            f"the parameter {name!r} is unknown in a {config.model_type} model of {layers} layers; known roles: {known}"
        )
    role = family.roles[module]
    block = "attention" if role in _ATTENTION else "mlp" if role in _MLP else "norm"
    return Site(name, layer, layer / max(layers - 1, 1), role, block, shape, kind)


def split_name(name: str) -> tuple[int | None, str, str]:
    """``model.layers.3.mlp.up_proj.weight`` as (3, ``mlp.up_proj``, ``weight``); layer None outside the layers."""
    module, _, kind = name.rpartition(".")
    if not module.startswith(_LAYER):
        return None, module, kind
    number, _, inner = module.removeprefix(_LAYER).partition(".")
    if not (number.isascii() and number.isdigit()):
        return None, module, kind
    return int(number), inner, kind


def layer_name(name: str, layer: int) -> str:
    """The parameter of the same kind in another layer; ``name`` must lie in a layer."""
    _, module, kind = split_name(name)
    return f"{_LAYER}{layer}.{module}.{kind}"
