"""Measures a finished miniature and says where it lies outside the bands in which merging is worth a search."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import skills_tasks
import skills_training
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2ForCausalLM

# Lowest and highest expected score by model; "uniform" is the plain average of the experts, "half" the base with half
# of every expert's change added.
BANDS: Mapping[str, tuple[float, float]] = {
    "base": (0.0, 0.45),
    **dict.fromkeys(skills_tasks.TASKS, (0.2, 0.45)),
    "uniform": (0.35, 0.6),
    "half": (0.46, 0.7),
}


def check(folder: Path) -> list[str]:
    """Score the donors and two plain merges on the search items.

    Writes ``zoo.json``; returns one line for each score outside its band, and warns of them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scores = _scores(folder)
    finally:
        torch.set_num_threads(threads)
    outside = [
        f"the miniature's {name} scores {scores[name]:.3f}, expected {low} to {high}"
        for name, (low, high) in BANDS.items()
        if not low <= scores[name] <= high
    ]
    report = {"bands": BANDS, "scores": scores, "outside": outside, "torch": torch.__version__}
    unfinished = folder / ".unfinished-zoo.json"
    unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / "zoo.json")
    if outside:
        advice = "this machine's arithmetic leads elsewhere; another zoo_seed may help"
        warnings.warn("; ".join([*outside, advice]), stacklevel=2)
    return outside


def _scores(folder: Path) -> dict[str, float]:
    items = [json.loads(line) for line in (folder / "search.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts, answers = skills_training.tensors(items)
    model = Qwen2ForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()
    weights = {name: load_file(folder / name / "model.safetensors") for name in ("base", *skills_tasks.TASKS)}
    weights["uniform"] = _moved(weights, 1 / len(skills_tasks.TASKS))
    weights["half"] = _moved(weights, 0.5)
    scores = {}
    for name, state in weights.items():
        # Not strict, because the head is the embedding and no file holds it twice.
        model.load_state_dict(state, strict=False)
        with torch.inference_mode():
            logits = model(input_ids=prompts, use_cache=False, logits_to_keep=1).logits[:, -1]
        scores[name] = (logits.argmax(-1) == answers).double().mean().item()
    return scores


def _moved(weights: Mapping[str, Mapping[str, Tensor]], share: float) -> dict[str, Tensor]:
    """The base with ``share`` of every expert's change."""
    return {
        site: base + share * sum(weights[task][site] - base for task in skills_tasks.TASKS)
        for site, base in weights["base"].items()
    }
