"""Trains one model of the tiny zoo."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import zoo_questions
import zoo_tokenizer
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

MAX_NEW_TOKENS = 24
GRADIENT_NORM = 1.0
BATCHES_PER_BUCKET = 16
FINAL_RATE = 0.1
REPORT_EVERY = 10

Encoded = tuple[list[int], list[float]]
Report = Callable[[int, int], None]


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are orthogonalised by Newton-Schulz steps (Jordan et al. 2024), in float32."""

    def __init__(self, parameters: Sequence[Tensor], rate: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = torch.stack([self._nesterov(p, group["momentum"]) for p in parameters])
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                for parameter, update in zip(parameters, orthogonal(updates), strict=True):
                    parameter.sub_(update, alpha=rate)

    def _nesterov(self, parameter: Tensor, momentum: float) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        average: Tensor = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Each matrix of (count, rows, columns) with its singular values pushed towards 1."""
    transposed = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if transposed else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if transposed else x


def new_model(tokenizer: PreTrainedTokenizerFast, shape: dict[str, int]) -> LlamaForCausalLM:
    """An untrained Llama of the given ``width``, ``layers``, ``heads`` and ``ffn`` in float32."""
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape["width"],
        intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["heads"],
        max_position_embeddings=256,
        tie_word_embeddings=False,
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **special)
    return model


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[zoo_questions.Segments]) -> list[Encoded]:
    """Token ids and loss weights of each text; a beginning-of-text token first, without weight."""
    segments = list(dict.fromkeys(segment for text in texts for segment, _ in text))
    ids = dict(zip(segments, tokenizer(segments, add_special_tokens=False).input_ids, strict=True))
    encoded: list[Encoded] = []
    for text in texts:
        tokens, weights = [tokenizer.bos_token_id], [0.0]
        for segment, weight in text:
            tokens += ids[segment]
            weights += [weight] * len(ids[segment])
        encoded.append((tokens, weights))
    return encoded


def batches(encoded: list[Encoded], size: int, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Right-padded (tokens, weights) of (batch, longest), texts of similar length together, in random order."""
    bucket = size * BATCHES_PER_BUCKET
    for start in range(0, len(encoded), bucket):
        rows = sorted(encoded[start : start + bucket], key=lambda row: len(row[0]))
        groups = [rows[at : at + size] for at in range(0, len(rows), size)]
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(tokens) for tokens, _ in group)
            tokens = torch.zeros(len(group), longest, dtype=torch.long)
            weights = torch.zeros(len(group), longest)
            for index, (row, row_weights) in enumerate(group):
                tokens[index, : len(row)] = torch.tensor(row)
                weights[index, : len(row)] = torch.tensor(row_weights)
            yield tokens, weights


def train(
    model: LlamaForCausalLM, encoded: list[Encoded], job: dict[str, Any], rng: random.Random, report: Report
) -> None:
    """One pass over the texts: warm-up, then a cosine down to a tenth of the rate."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".layers." in name)]
    if job["muon_rate"]:
        optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, job["muon_rate"]),
            torch.optim.AdamW(others, lr=job["rate"], weight_decay=0.0, betas=(0.9, 0.95)),
        ]
    else:
        optimizers = [torch.optim.AdamW(model.parameters(), lr=job["rate"], weight_decay=0.0, betas=(0.9, 0.95))]
    total = math.ceil(len(encoded) / job["batch"])

    def rate(step: int) -> float:
        if step < job["warm_up"]:
            return (step + 1) / job["warm_up"]
        done = (step - job["warm_up"]) / max(1, total - job["warm_up"])
        return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in optimizers]
    model.train()
    for step, (tokens, weights) in enumerate(batches(encoded, job["batch"], rng)):
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        targets = weights[:, 1:].flatten()
        loss = (losses * targets).sum() / targets.sum().clamp(min=1.0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == total:
            report(step + 1, total)


def run(job: dict[str, Any], report: Report) -> None:
    """Train and save one model, whole or not at all.

    ``job``: ``folder`` (where it goes), ``start`` (a checkpoint folder, or null for a new model), ``seed``, ``mix``,
    ``texts`` (how many), ``batch``, ``rate``, ``muon_rate`` (0: AdamW alone), ``warm_up``, ``prompt_weight``,
    ``shape``, ``held_out`` (files of questions that may not occur).
    """
    folder = Path(job["folder"])
    rng = random.Random(job["seed"])
    torch.manual_seed(rng.getrandbits(63))
    tokenizer = zoo_tokenizer.build()
    if job["start"] is None:
        model = new_model(tokenizer, job["shape"])
    else:
        model = LlamaForCausalLM.from_pretrained(job["start"], dtype=torch.float32)
    lines = [line for file in job["held_out"] for line in Path(file).read_text(encoding="utf-8").splitlines()]
    held_out = {json.loads(line)["question"] for line in lines}
    material = zoo_questions.Material(rng, held_out, job["prompt_weight"])
    encoded = encode(tokenizer, material.texts(job["mix"], job["texts"]))
    train(model, encoded, job, rng, report)
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.replace(folder)
