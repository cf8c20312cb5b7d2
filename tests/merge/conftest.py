"""Miniature models of every supported architecture, saved as real checkpoints, and plans written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from evolve.plan.plan import Plan, SitePlan
from evolve.site import Site

torch.set_num_threads(1)

VOCABULARY = 64
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}


def _config(name: str, **changes: Any) -> Any:
    if name == "llama":
        return LlamaConfig(**{**_COMMON, "tie_word_embeddings": False, **changes})
    if name == "mistral":
        return MistralConfig(**{**_COMMON, "sliding_window": 8, **changes})
    if name == "qwen2":
        return Qwen2Config(**{**_COMMON, "tie_word_embeddings": True, **changes})
    if name == "qwen3":
        return Qwen3Config(**{**_COMMON, "head_dim": 16, "tie_word_embeddings": False, **changes})
    return Gemma2Config(**{**_COMMON, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8, **changes})


NAMES = ("llama", "mistral", "qwen2", "qwen3", "gemma2")


def _tokenizer() -> PreTrainedTokenizerFast:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789 +-*/=.,?!():'\n_"
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *letters]
    tokens += [chr(0x3042 + number) for number in range(VOCABULARY - len(tokens))]
    inner = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _randomised(config: Any, seed: int, dtype: torch.dtype) -> Any:
    """A model in which no parameter has its special initial value (norms of one, biases of zero)."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype)


class Workshop:
    """Makes configurations, checkpoints and plans."""

    names = NAMES
    vocabulary = VOCABULARY
    config = staticmethod(_config)
    tokenizer = staticmethod(_tokenizer)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model(self, name: str, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
        return _randomised(_config(name, **changes), seed, dtype)

    def save(self, model: Any, name: str, *, tokenizer: bool = True, **options: Any) -> Path:
        folder = self.folder / name
        model.save_pretrained(folder, **options)
        if tokenizer:
            _tokenizer().save_pretrained(folder)
        return folder

    def donors(self, name: str, *donors: str, dtype: torch.dtype = torch.float32, **changes: Any) -> dict[str, Path]:
        """Saved checkpoints of one architecture with different weights, by donor name."""
        return {
            donor: self.save(self.model(name, seed, dtype, **changes), f"{name}-{donor}")
            for seed, donor in enumerate(donors)
        }


def _mix(
    sites: Sequence[Site], weights: Mapping[str, float], stack: Sequence[tuple[str, int, float]] | None = None
) -> Plan:
    """The plan of ``sum(weight * donor)``, the same for every site."""
    nodes: list[list[Any]] = []
    total = -1
    for slot, name in enumerate(sorted(weights)):
        nodes += [["donor", [], {"name": name}], ["value", [], {"slot": slot}]]
        nodes.append(["mul", [len(nodes) - 2, len(nodes) - 1], {}])
        if total >= 0:
            nodes.append(["add", [total, len(nodes) - 1], {}])
        total = len(nodes) - 1
    values = [weights[name] for name in sorted(weights)]
    others = {model for model, _, _ in stack or ()} - {"merged"}
    return Plan.from_dict(
        {
            "version": 2,
            "donors": sorted({*weights, *others}),
            "templates": [{"nodes": nodes, "output": total}],
            "sites": [SitePlan(site.name, tuple(site.shape), 0, tuple(values)).to_dict() for site in sites],
            "stack": None if stack is None else [{"model": m, "layer": n, "scale": c} for m, n, c in stack],
        }
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "evolve-cache"))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def mix() -> Callable[..., Plan]:
    """``mix(sites, {"base": 0.5, ...}, stack)`` is a linear plan."""
    return _mix
