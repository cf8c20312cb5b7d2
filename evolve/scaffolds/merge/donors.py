"""Makes the donors and items of the example: three Llama models of 26,000 parameters, trained for some seconds.

A prepare hook has two functions. `recipe(settings)` describes what will be made; its digest names the cache folder, so
a change makes a new one. `prepare(folder, settings, progress)` makes it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ALPHABET = "abcdefghij0123456789 "
STEPS = 150


def recipe(settings: dict) -> dict:
    return {"version": 1, "steps": STEPS, "seed": settings.get("seed", 0)}


def text(kind: str, rng: random.Random) -> str:
    """`first` counts up through the letters, `second` counts down through the digits, from a random start."""
    letters, step = (ALPHABET[:10], 1) if kind == "first" else (ALPHABET[10:20], -1)
    start = rng.randrange(10)
    return " ".join(letters[(start + step * i) % 10] for i in range(12))


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {character: index for index, character in enumerate(["<pad>", *ALPHABET])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<pad>", bos_token="<pad>")


def train(model: LlamaForCausalLM, coder: PreTrainedTokenizerFast, kinds: list[str], steps: int, seed: int) -> None:
    rng = random.Random(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        batch = coder([text(rng.choice(kinds), rng) for _ in range(8)], return_tensors="pt").input_ids
        loss = model(batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def prepare(folder: Path, settings: dict, progress) -> None:  # type: ignore[no-untyped-def]
    seed = int(settings.get("seed", 0))
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    coder = tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(coder), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip
    train(model, coder, ["first", "second"], STEPS // 10, seed)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for index, (name, kinds) in enumerate([("base", []), ("first", ["first"]), ("second", ["second"])]):
        model.load_state_dict(start)
        train(model, coder, kinds, STEPS if kinds else 0, seed + index)
        model.save_pretrained(folder / name)
        coder.save_pretrained(folder / name)
        progress("donors", index + 1, 3)
    rng = random.Random(seed + 100)
    for split in ("search", "validation", "test"):
        rows = [{"kind": kind, "text": text(kind, rng)} for kind in ("first", "second") for _ in range(20)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
