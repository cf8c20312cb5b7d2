from __future__ import annotations

import pytest
import torch

from evolve.errors import OutOfMemory
from evolve.evaluate import generation
from evolve.evaluate.generation import generate

PROMPTS = ["1+1=", "what is 12 + 30?", "a", "", "one two three four five six seven", "2*3=", "x", "say (yes) or: no!"]


def _expected(model, tokenizer, prompts, max_new_tokens):
    """What transformers makes of the same prompts, padded on the left in one batch."""
    tokenizer.padding_side = "left"
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )
    return tokenizer.batch_decode(output[:, batch.input_ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_the_tokens_are_those_of_transformers(workshop, name, monkeypatch):
    monkeypatch.setattr(generation, "_CPU_ROWS", 5)
    monkeypatch.setattr(generation, "_CPU_PREFILL_TOKENS", 40)
    model, tokenizer = workshop.model(name, seed=3), workshop.tokenizer()
    texts = generate(model, tokenizer, PROMPTS, 24)
    assert texts == _expected(model, tokenizer, PROMPTS, 24)
    assert len(set(texts)) > 4
    if name in ("mistral", "gemma2"):  # sequences grow beyond the sliding window
        assert max(map(len, texts)) + 6 > model.config.sliding_window


def test_rows_end_at_their_own_end_token_and_leave_the_batch(workshop, monkeypatch):
    model, tokenizer = workshop.model("llama", seed=3), workshop.tokenizer()
    # Several letters as end tokens make rows finish at many different steps.
    model.generation_config.eos_token_id = list(range(8, 20))
    prompts = [f"{number}+{number % 7}=" for number in range(40)]
    sizes = []
    forward = generation._Batch._forward
    monkeypatch.setattr(
        generation._Batch, "_forward", lambda batch, ids, *rest: (sizes.append(len(ids)), forward(batch, ids, *rest))[1]
    )
    texts = generate(model, tokenizer, prompts, 20)
    assert len({len(text) for text in texts}) > 3
    assert sizes[-1] < 40
    untouched = workshop.model("llama", seed=3)
    untouched.generation_config.eos_token_id = None
    tokenizer.eos_token_id = None
    ends = {tokenizer.convert_ids_to_tokens(number) for number in range(8, 20)}
    for text, full in zip(texts, generate(untouched, tokenizer, prompts, 20), strict=True):
        assert text == full[: next((i for i, letter in enumerate(full) if letter in ends), len(full))]


def test_stop_strings_cut_the_text_and_end_the_row(workshop, monkeypatch):
    model, tokenizer = workshop.model("llama", seed=3), workshop.tokenizer()
    steps = []
    forward = generation._Batch._forward
    monkeypatch.setattr(generation._Batch, "_forward", lambda batch, *rest: (steps.append(1), forward(batch, *rest))[1])
    full = generate(model, tokenizer, PROMPTS, 60)
    whole = len(steps)
    marks = [text[3:5] for text in full if len(text) > 20]
    steps.clear()
    texts = generate(model, tokenizer, PROMPTS, 60, stop=[*marks, "never there"])
    for text, longer in zip(texts, full, strict=True):
        assert text == longer[: min([longer.find(mark) for mark in marks if mark in longer], default=len(longer))]
    assert len(steps) < whole / 2


def test_order_batches_and_repetition_do_not_matter(workshop, monkeypatch):
    model, tokenizer = workshop.model("qwen3", seed=1), workshop.tokenizer()
    texts = generate(model, tokenizer, PROMPTS, 12)
    assert generate(model, tokenizer, PROMPTS, 12) == texts
    assert generate(model, tokenizer, PROMPTS[::-1], 12) == texts[::-1]
    monkeypatch.setattr(generation, "_CPU_ROWS", 1)
    assert generate(model, tokenizer, PROMPTS, 12) == texts


def test_nothing_asked_for(workshop):
    model, tokenizer = workshop.model("llama"), workshop.tokenizer()
    assert generate(model, tokenizer, [], 5) == []
    assert generate(model, tokenizer, ["1+1="], 0) == [""]


def test_a_batch_that_does_not_fit_is_halved_once(workshop, monkeypatch):
    model, tokenizer = workshop.model("llama", seed=3), workshop.tokenizer()
    expected = generate(model, tokenizer, PROMPTS, 8)
    sizes = []
    read = generation._Batch._read

    def short_of_memory(limit):
        def attempt(batch, ids, *rest):
            sizes.append(len(ids))
            if len(ids) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return read(batch, ids, *rest)

        return attempt

    monkeypatch.setattr(generation, "_CPU_ROWS", 8)
    monkeypatch.setattr(generation._Batch, "_read", short_of_memory(4))
    assert generate(model, tokenizer, PROMPTS, 8) == expected
    assert sizes == [8, 4, 4]
    monkeypatch.setattr(generation._Batch, "_read", short_of_memory(3))
    with pytest.raises(OutOfMemory, match="answering 4 prompts at once needs more memory than the worker has"):
        generate(model, tokenizer, PROMPTS, 8)
    sizes.clear()
    with pytest.raises(OutOfMemory):
        generate(model, tokenizer, PROMPTS, 8, halved=True)
    assert sizes == [4], "what begins with half is not halved again"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_gpu_generates_what_transformers_generates_there(workshop, name):
    model, tokenizer = workshop.model(name, seed=3).to("cuda:0"), workshop.tokenizer()
    texts = generate(model, tokenizer, PROMPTS, 24)
    assert texts == generate(model.cpu(), tokenizer, PROMPTS, 24)
