"""Measures a finished zoo and says where it lies outside the bands in which merging is worth a search."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

# Lowest and highest expected score by model; "uniform" is the plain average of the three experts.
BANDS: Mapping[str, tuple[float, float]] = {
    "base": (0.0, 0.25),
    "ja": (0.0, 0.25),
    "math1": (0.0, 0.03),
    "math2": (0.0, 0.03),
    "uniform": (0.1, 0.4),
}
EXPERTS = ("ja", "math1", "math2")
# Each mathematician must calculate, in whatever language: the least share of right numbers.
NUMBERS_RIGHT = {"math1": 0.4, "math2": 0.4}


@dataclass
class Sitting:
    """A candidate as evaluate.py sees one, answering with transformers' own greedy decoding."""

    model: Any
    tokenizer: Any
    items: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    split: str = "search"

    def generate(self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        encoded = self.tokenizer(list(prompts), padding=True, return_tensors="pt")
        with torch.inference_mode():
            output = self.model.generate(**encoded, max_new_tokens=max_new_tokens, do_sample=False)
        return list(self.tokenizer.batch_decode(output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True))


def check(folder: Path, items: int) -> list[str]:
    """Score base, experts and their plain average on ``items`` search questions.

    Writes ``zoo.json``; returns one line for each figure outside its band, and warns of them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scores = _scores(folder, items)
    finally:
        torch.set_num_threads(threads)
    outside = [
        f"the tiny zoo's {name} scores {scores[name]['accuracy']:.3f}, expected {low} to {high}"
        for name, (low, high) in BANDS.items()
        if not low <= scores[name]["accuracy"] <= high
    ]
    outside += [
        f"the tiny zoo's {name} gets {scores[name]['numbers_right']:.3f} of the numbers right, expected {least} or more"
        for name, least in NUMBERS_RIGHT.items()
        if scores[name]["numbers_right"] < least
    ]
    report = {"items": items, "bands": BANDS, "scores": scores, "outside": outside, "torch": torch.__version__}
    unfinished = folder / ".unfinished-zoo.json"
    unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / "zoo.json")
    if outside:
        advice = "this machine's arithmetic leads elsewhere; another zoo_seed may help"
        warnings.warn("; ".join([*outside, advice]), stacklevel=2)
    return outside


def _scores(folder: Path, items: int) -> dict[str, dict[str, float]]:
    lines = (folder / "search.jsonl").read_text(encoding="utf-8").splitlines()[:items]
    rows = [json.loads(line) for line in lines]
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()
    weights = {name: load_file(folder / name / "model.safetensors") for name in ("base", *EXPERTS)}
    weights["uniform"] = {
        site: torch.stack([weights[expert][site] for expert in EXPERTS]).mean(0) for site in weights["base"]
    }
    evaluate = _evaluator()
    scores = {}
    for name, state in weights.items():
        model.load_state_dict(state)
        scores[name] = dict(evaluate(Sitting(model, tokenizer, rows)).metrics)
    return scores


def _evaluator() -> Any:
    """``evaluate`` of the neighbouring evaluate.py, whose name a package on the path may also have."""
    spec = importlib.util.spec_from_file_location("jp_math_evaluate", Path(__file__).with_name("evaluate.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.evaluate
