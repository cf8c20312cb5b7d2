"""Recipes of configurations, traced for a small Llama whose checkpoints need not exist."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from evolve.donors.sites import sites_of
from evolve.mergekit.recipe import convert
from evolve.mergekit.schema import read
from evolve.recipe.eager import eager
from evolve.recipe.trace import DonorInfo, trace

LAYERS = 4


class Config:
    model_type = "llama"
    num_hidden_layers = LAYERS


def shapes():
    found = {"model.embed_tokens.weight": (40, 32)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        for name, shape in {
            "self_attn.q_proj.weight": (32, 32), "self_attn.o_proj.weight": (32, 32), "mlp.up_proj.weight": (48, 32),
            "mlp.down_proj.weight": (32, 48), "input_layernorm.weight": (32,),
        }.items():  # fmt: skip
            found[block + name] = shape
    return {**found, "model.norm.weight": (32,), "lm_head.weight": (40, 32)}


@dataclass
class Bench:
    """Converts, traces and runs configurations."""

    sites: list

    def source(self, text):
        return convert(read(text, "merge.yml"), "merge.yml").source

    def trace(self, source, *donors):
        return trace(source, self.sites, {name: DonorInfo(LAYERS) for name in donors}).plan

    def plan(self, text):
        converted = convert(read(text, "merge.yml"), "merge.yml")
        return self.trace(converted.source, *converted.donors)

    def donors(self, text):
        return convert(read(text, "merge.yml"), "merge.yml").donors

    def tensors(self, *names):
        """Random tensors by site and donor; fine-tunes lie near the base."""
        made = {}
        for site in self.sites:
            generator = torch.Generator().manual_seed(hash_of(site.name))
            base = torch.randn(site.shape, generator=generator)
            made[site.name] = {
                name: base if name == "base" else base + 0.1 * torch.randn(site.shape, generator=generator)
                for name in names
            }
        return made

    def merged(self, text, tensors):
        """Every site's parameter by the recipe of a configuration."""
        source = self.source(text)
        return {site.name: eager(source, site, tensors[site.name]) for site in self.sites}


def hash_of(text):
    return sum((index + 1) * ord(letter) for index, letter in enumerate(text))


@pytest.fixture(scope="session")
def bench():
    return Bench(sites_of(Config(), shapes()))


@pytest.fixture(scope="session")
def layers():
    return LAYERS
