from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch

from evolve.errors import OutOfMemory
from evolve.evaluate.merging import MergeService
from evolve.evaluate.pool import WorkerPool
from evolve.memory import is_lack_of_memory
from evolve.site import Site

LIMITED = """
import resource
from pathlib import Path
from evolve.evaluation import Evaluation

MEGABYTE = 2**20


def evaluate(candidate):
    # Every token ends a sequence: the memory for all tokens is set aside, and hardly any of it is computed.
    candidate.model.generation_config.eos_token_id = list(range(candidate.model.config.vocab_size))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(candidate.settings["megabytes"][candidate.split]) * MEGABYTE
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, unlimited[1]))
    try:
        answers = candidate.generate([f"{number}+1=" for number in range(128)], candidate.settings["tokens"])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
    return Evaluation(score=len(answers))
"""


def refused(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


def test_memory_that_is_refused_is_told_from_other_errors():
    assert is_lack_of_memory(refused(lambda: bytearray(2**62)))
    assert is_lack_of_memory(refused(lambda: np.ones(2**58)))
    assert is_lack_of_memory(refused(lambda: torch.empty(2**58)))
    assert is_lack_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_lack_of_memory(refused(lambda: torch.ones(2) @ torch.ones(3)))


def test_a_batch_over_the_memory_limit_is_answered_in_halves_once(tmp_path, problem, mix):
    """The first split leaves memory for half of the batch, the second for less."""
    setup = problem(LIMITED)
    per_row_bytes = row_bytes(setup, tokens=12000)
    whole = 128 * per_row_bytes / 2**20
    setup |= {
        "splits": {"search": setup["splits"]["search"], "test": setup["splits"]["search"]},
        "settings": {"tokens": 12000, "megabytes": {"search": 0.75 * whole, "test": 0.35 * whole}},
    }

    async def body():
        pool = WorkerPool(setup, 1, tmp_path / "workers")
        try:
            await pool.start()
            plan = mix([Site.from_dict(site) for site in pool.info["sites"]], {"base": 0.5, "ja": 0.5}).to_dict()
            process = pool._workers[0]._process.pid
            assert (await pool.evaluate({"plan": plan}, "search", 60)).evaluation.score == 128
            with pytest.raises(OutOfMemory, match="answering 64 prompts at once needs more memory") as caught:
                await pool.evaluate({"plan": plan}, "test", 60)
            assert caught.value.reason == "memory"
            assert (await pool.evaluate({"plan": plan}, "search", 60)).evaluation.score == 128
            assert pool._workers[0]._process.pid == process, "the worker lives on"
        finally:
            await pool.close()

    asyncio.run(body())


def row_bytes(setup, tokens):
    """The keys and values that one prompt sets aside."""
    service = MergeService({**setup, "settings": {}})
    config = service._live.model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (
        2 * config.num_hidden_layers * config.num_key_value_heads * head * service._live.model.dtype.itemsize * tokens
    )


JUDGE_HALVED = """
from evolve.evaluation import Evaluation


def evaluate(candidate):
    return Evaluation(candidate.halved)
"""


def test_a_second_try_answers_half_as_many_prompts_at_a_time(problem, mix):
    service = MergeService(problem(JUDGE_HALVED))
    plan = mix(service._live.sites, {"base": 0.5, "ja": 0.5}).to_dict()
    assert service.evaluate({"plan": plan, "split": "search"}).evaluation.score == 0
    assert service.evaluate({"plan": plan, "split": "search", "halved": True}).evaluation.score == 1
