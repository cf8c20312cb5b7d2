"""Checkpoints large enough to watch a merge at work, and commands run as users run them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from transformers import LlamaConfig

from evolve.donors.donors import expected_shapes
from evolve.merge.writer import ShardedWriter

NAMES = ("base", "a", "b")


def checkpoint(folder, seed, layers, hidden):
    config = LlamaConfig(
        vocab_size=256, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    shapes = expected_shapes(config)
    with ShardedWriter(folder, shapes, torch.bfloat16, 10**9) as writer:
        for name, shape in shapes.items():
            writer.write(name, 0.02 * torch.randn(shape, generator=generator))
    return folder


def recipe(folder, donors):
    lines = "".join(f'    "{name}": "{path}",\n' for name, path in donors.items())
    path = folder / "recipe.py"
    path.write_text(
        f"from evolve.methods import ties\n\nDONORS = {{\n{lines}}}\n\n\ndef merge(site, base, a, b):\n"
        "    return ties(base, [a, b], [0.6, 0.5], density=0.5)\n"
    )
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A recipe on three models of 0.2 MB."""
    folder = tmp_path_factory.mktemp("small")
    return recipe(folder, {name: checkpoint(folder / name, seed, 2, 64) for seed, name in enumerate(NAMES)})


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A recipe on three models of 105 MB, whose largest parameter takes 1 MB."""
    folder = tmp_path_factory.mktemp("large")
    return recipe(folder, {name: checkpoint(folder / name, seed, 20, 512) for seed, name in enumerate(NAMES)})


@pytest.fixture
def environment(tmp_path_factory):
    return {**os.environ, "EVOLVE_CACHE": str(tmp_path_factory.getbasetemp() / "cli-cache"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def evolve(environment, tmp_path):
    """Runs a command in a folder of its own and checks its status."""

    def run(*arguments, status=0, **options):
        command = [sys.executable, "-m", "evolve", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=120, **options
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run
