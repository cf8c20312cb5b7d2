"""Trains one model of the miniature from nothing or from another one."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import skills_tasks
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

GRADIENT_NORM = 1.0
FINAL_RATE = 0.05
REPORT_EVERY = 20

Report = Callable[[int, int], None]


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word, the same for every zoo seed."""
    words = {word: number for number, word in enumerate(skills_tasks.VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", padding_side="left")


def new_model(shape: Mapping[str, int]) -> Qwen2ForCausalLM:
    """An untrained Qwen2 with tied embeddings, of the given ``width``, ``layers``, ``heads`` and ``ffn``."""
    config = Qwen2Config(
        vocab_size=len(skills_tasks.VOCABULARY), hidden_size=shape["width"], intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["heads"],
        max_position_embeddings=32, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def tensors(items: Sequence[skills_tasks.Item]) -> tuple[Tensor, Tensor]:
    """Token ids (items, words) and the id of each answer (items,)."""
    number = {word: index for index, word in enumerate(skills_tasks.VOCABULARY)}
    prompts = [[number[word] for word in item["prompt"].split()] for item in items]
    return torch.tensor(prompts), torch.tensor([number[item["answer"]] for item in items])


def train(model: Qwen2ForCausalLM, job: Mapping[str, Any], rng: random.Random, report: Report) -> None:
    """Fresh items at every step, loss on the answer alone: warm-up, then a cosine."""
    lines = [line for file in job["held_out"] for line in Path(file).read_text(encoding="utf-8").splitlines()]
    barred = {json.loads(line)["prompt"] for line in lines}
    optimizer = torch.optim.AdamW(model.parameters(), lr=job["rate"], weight_decay=0.0, betas=(0.9, 0.95))

    def rate(step: int) -> float:
        warmed = min(1.0, (step + 1) / job["warm_up"])
        return warmed * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / job["steps"])))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for step in range(job["steps"]):
        prompts, answers = tensors(skills_tasks.material(rng, job["mix"], job["batch"], barred))
        logits = model(input_ids=prompts, use_cache=False, logits_to_keep=1).logits[:, -1]
        torch.nn.functional.cross_entropy(logits, answers).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == job["steps"]:
            report(step + 1, job["steps"])


def run(job: Mapping[str, Any], report: Report) -> None:
    """Train and save one model, whole or not at all.

    ``job``: ``folder`` (where it goes), ``start`` (a checkpoint folder, or null for a new model), ``seed``, ``mix``
    (shares by kind, see skills_tasks.material), ``steps``, ``batch``, ``rate``, ``warm_up``, ``shape``, ``held_out``
    (files of items).
    """
    folder = Path(job["folder"])
    rng = random.Random(job["seed"])
    torch.manual_seed(rng.getrandbits(63))
    if job["start"] is None:
        model = new_model(job["shape"])
    else:
        model = Qwen2ForCausalLM.from_pretrained(job["start"], dtype=torch.float32)
    train(model, job, rng, report)
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    model.save_pretrained(unfinished)
    tokenizer().save_pretrained(unfinished)
    unfinished.replace(folder)
