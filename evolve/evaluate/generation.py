"""Greedy decoding of many prompts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from evolve.errors import OutOfMemory
from evolve.memory import is_lack_of_memory

# On a CPU the keys and values of the batch are read at every step; beyond this many rows of a small model they no
# longer stay in the cache (350 prompts of 35 tokens, 1M parameters: 128 rows 0.84 s, 32 rows 1.2 s, 350 rows 1.0 s).
_CPU_ROWS = 128
_GPU_ROWS = 512
# Tokens of prompts read in one forward pass: enough to fill the machine, few enough for activations to stay small.
_CPU_PREFILL_TOKENS = 512
_GPU_PREFILL_TOKENS = 16384
_GPU_MEMORY_SHARE = 0.8
# Rows are dropped when this share has finished: dropping copies the keys and values of the others once.
_FINISHED_SHARE = 0.125
_STOP_INTERVAL = 8


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    *,
    halved: bool = False,
) -> list[str]:
    """The greedy continuation of each prompt, without special tokens and without anything from a stop string on.

    The same tokens as ``model.generate(do_sample=False)`` on a left-padded batch, up to the rounding that any other
    batch brings. Ends at the end-of-sequence tokens of the model's generation config. On a GPU the batch is chosen by
    free memory. Batches are halved once when memory does not suffice, or from the start with ``halved``. Raises
    OutOfMemory when half was too much as well.
    """
    sequences = tokenizer(list(prompts))["input_ids"] if prompts else []
    start = next((n for n in (tokenizer.bos_token_id, tokenizer.eos_token_id) if n is not None), 0)
    sequences = [sequence or [start] for sequence in sequences]
    ends = _end_tokens(model, tokenizer)

    def stopped(tokens: Sequence[Sequence[int]]) -> list[bool]:
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [any(mark in text for mark in stop) for text in texts]

    with torch.inference_mode():
        generated = _decode_all(model, sequences, max_new_tokens, ends, stopped if stop else None, halved)
    texts: list[str] = tokenizer.batch_decode(generated, skip_special_tokens=True) if generated else []
    return [_cut(text, stop) for text in texts]


def _cut(text: str, stop: Sequence[str]) -> str:
    return text[: min((position for mark in stop if (position := text.find(mark)) >= 0), default=len(text))]


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    if ends is None:
        return []
    return list(ends) if isinstance(ends, (list, tuple)) else [int(ends)]


Stopped = Callable[[Sequence[Sequence[int]]], list[bool]]


def _decode_all(
    model: Any,
    sequences: Sequence[Sequence[int]],
    max_new_tokens: int,
    ends: Sequence[int],
    stopped: Stopped | None,
    halved: bool,
) -> list[list[int]]:
    """New tokens of every sequence, in their order; batches hold sequences of similar length."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    results: list[list[int]] = [[] for _ in sequences]
    while order:
        # The longest come first, so that a batch that does not fit shows at once.
        rows = _rows(model, len(sequences[order[-1]]) + max_new_tokens)
        indices = order[-max(1, rows // 2 if halved else rows) :]
        try:
            batch = _Batch(model, [sequences[index] for index in indices], max_new_tokens, ends, stopped)
            generated = batch.run()
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            generated = None
        if generated is None:  # outside the handler, whose traceback keeps the batch's tensors alive
            torch.cuda.empty_cache()
            if halved:
                raise OutOfMemory(
                    f"answering {len(indices)} prompts at once needs more memory than the worker has; use fewer layers"
                )
            halved = True
            continue
        del order[-len(indices) :]
        for index, tokens in zip(indices, generated, strict=True):
            results[index] = tokens
    return results


def _rows(model: Any, length: int) -> int:
    """How many sequences of ``length`` tokens to decode together."""
    device = model.device
    if device.type != "cuda":
        return most_rows(device)
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * config.num_key_value_heads * head * model.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    # Half of the share is left for activations, logits in float32 and the copy when rows are dropped.
    fitting = int(_GPU_MEMORY_SHARE * free / (2 * token_bytes * length + 8 * config.vocab_size))
    return max(1, min(most_rows(device), fitting))


def most_rows(device: torch.device) -> int:
    """How many prompts are decoded together where memory allows."""
    return _GPU_ROWS if device.type == "cuda" else _CPU_ROWS


class _Rows(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer in memory set aside once, written in place (rows, heads, capacity, head size).

    While prompts are read, ``window`` selects the rows of the batch that a forward pass is about. Sliding-window layers
    keep everything too: the model's mask hides what lies outside the window.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows, self.capacity = rows, capacity
        self.window = slice(0, rows)
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        _, heads, _, size = key_states.shape
        self.keys = key_states.new_empty(self.rows, heads, self.capacity, size)
        self.values = value_states.new_empty(self.rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        start, end = self.length, self.length + key_states.shape[-2]
        self.keys[self.window, :, start:end] = key_states
        self.values[self.window, :, start:end] = value_states
        self.length = end
        return self.keys[self.window, :, :end], self.values[self.window, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def open(self, window: slice) -> None:
        """Starts at the first token of the rows in ``window``."""
        self.window, self.length = window, 0

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but ``rows``."""
        assert self.keys is not None and self.values is not None
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.rows = len(rows)
        self.window = slice(0, self.rows)


class _Batch:
    """Sequences that are decoded together, padded on the left; rows leave as they finish."""

    def __init__(
        self,
        model: Any,
        sequences: Sequence[Sequence[int]],
        max_new_tokens: int,
        ends: Sequence[int],
        stopped: Stopped | None,
    ) -> None:
        self.model, self.sequences, self.max_new_tokens = model, sequences, max_new_tokens
        self.ends, self.stopped = frozenset(ends), stopped
        self.width = max(map(len, sequences))
        self.layers = [
            _Rows(len(sequences), self.width + max_new_tokens) for _ in range(model.config.num_hidden_layers)
        ]
        self.cache = Cache(layers=list(self.layers))
        self.generated: list[list[int]] = [[] for _ in sequences]
        self._finished = [False] * len(sequences)

    def run(self) -> list[list[int]]:
        """New tokens of each sequence, without the end token."""
        if self.max_new_tokens < 1:
            return self.generated
        ids, mask, positions = self._padded()
        tokens = self._read(ids, mask, positions)
        padded = not bool(mask.all())
        mask = torch.nn.functional.pad(mask, (0, self.max_new_tokens), value=True)
        positions = positions[:, -1:]
        active = list(range(len(self.sequences)))
        for step in range(1, self.max_new_tokens + 1):
            remaining = self._take(active, tokens, step)
            if not remaining or step == self.max_new_tokens:
                break
            if len(remaining) <= (1 - _FINISHED_SHARE) * len(active):
                kept = self._compact(active, remaining)
                tokens, mask, positions, active = tokens[kept], mask[kept], positions[kept], remaining
            positions = positions + 1
            tokens = self._forward(tokens, mask[:, : self.width + step] if padded else None, positions)
        return self.generated

    def _padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, mask and positions: (rows, width)."""
        rows = len(self.sequences)
        ids, mask = torch.zeros(rows, self.width, dtype=torch.long), torch.zeros(rows, self.width, dtype=torch.bool)
        for row, sequence in enumerate(self.sequences):
            ids[row, self.width - len(sequence) :] = torch.tensor(sequence)
            mask[row, self.width - len(sequence) :] = True
        positions = (mask.cumsum(1) - 1).clamp_(min=0)
        device = self.model.device
        return ids.to(device), mask.to(device), positions.to(device)

    def _read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Reads the prompts a few rows at a time and returns the first new token of each: (rows, 1)."""
        budget = _CPU_PREFILL_TOKENS if ids.device.type == "cpu" else _GPU_PREFILL_TOKENS
        rows = max(1, budget // self.width)
        first = []
        for start in range(0, len(ids), rows):
            window = slice(start, min(start + rows, len(ids)))
            for layer in self.layers:
                layer.open(window)
            visible = mask[window]
            first.append(self._forward(ids[window], None if bool(visible.all()) else visible, positions[window]))
        for layer in self.layers:
            layer.window = slice(0, len(ids))
        return torch.cat(first)

    def _forward(self, ids: Tensor, mask: Tensor | None, positions: Tensor) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chosen: Tensor = output.logits[:, -1].argmax(dim=-1, keepdim=True)
        return chosen

    def _take(self, active: Sequence[int], tokens: Tensor, step: int) -> list[int]:
        """Appends each row's token and returns the rows that go on."""
        remaining = []
        for row, token in zip(active, tokens[:, 0].tolist(), strict=True):
            if self._finished[row]:
                continue
            if token in self.ends:
                self._finished[row] = True
            else:
                self.generated[row].append(token)
                remaining.append(row)
        if self.stopped is not None and step % _STOP_INTERVAL == 0 and remaining:
            done = self.stopped([self.generated[row] for row in remaining])
            for row, end in zip(remaining, done, strict=True):
                self._finished[row] = end
            remaining = [row for row, end in zip(remaining, done, strict=True) if not end]
        return remaining

    def _compact(self, active: Sequence[int], remaining: Sequence[int]) -> Tensor:
        """Drops the finished rows from the cache and returns the positions of the others in the batch."""
        wanted = set(remaining)
        kept = torch.tensor([index for index, row in enumerate(active) if row in wanted], device=self.model.device)
        for layer in self.layers:
            layer.keep(kept)
        return kept
