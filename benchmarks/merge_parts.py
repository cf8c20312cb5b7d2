"""The measurements of benchmarks/merge.py that run in evolve's environment, each in a process of its own.

    python merge_parts.py checkpoints FOLDER SIZE DEVICE
    python merge_parts.py copy MEBIBYTES DEVICE
    python merge_parts.py eager FOLDER METHOD DEVICE
    python merge_parts.py executor FOLDER METHOD DEVICE CANDIDATES

The last line of standard output is the result as JSON. Seconds are ``{"wall_s", "cpu_s"}``.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from merge_cases import DONORS, METHODS, model_config
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from evolve.donors.donors import load_donors
from evolve.merge.model import LiveModel
from evolve.recipe.eager import eager
from evolve.recipe.program import load
from evolve.recipe.trace import DonorInfo, trace

_NOISE = 0.1  # standard deviation of a donor's difference from the base, in that of the base


def timed(action: Callable[[], Any], device: str) -> dict[str, float]:
    """Seconds of one call, with what it left running on a GPU."""
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    synchronize(device)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def checkpoints(folder: str, size: str, device: str) -> dict[str, Any]:
    """Writes base and experts: random bfloat16 models of one size, experts the base plus a little noise."""
    parameters = 0
    for number, donor in enumerate(DONORS):
        target = Path(folder) / donor
        target.mkdir(parents=True, exist_ok=True)
        (target / "config.json").write_text(json.dumps(model_config(size), indent=1))
        _tokenizer().save_pretrained(target)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(target))
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        tensors = {name: _weights(shape, index, number, device) for index, (name, shape) in enumerate(shapes.items())}
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
        parameters = sum(tensor.numel() for tensor in tensors.values())
    return {"parameters": parameters}


def _weights(shape: torch.Size, index: int, donor: int, device: str) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(100 * index)
    weights = 0.02 * torch.randn(shape, generator=generator, device=device)
    if donor:
        generator.manual_seed(100 * index + donor)
        weights += 0.02 * _NOISE * torch.randn(shape, generator=generator, device=device)
    if len(shape) == 1:
        weights += 1  # norms
    return weights.bfloat16().cpu()


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def copy(mebibytes: str, device: str) -> dict[str, float]:
    """Bandwidth of a copy in memory by one thread, bytes read and bytes written together: the median of nine.

    On a CPU by the C library's ``memmove``, which was 1.6 times as fast as ``Tensor.copy_``.
    """
    source = torch.ones(int(mebibytes) * 2**20, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)

    def move() -> None:
        if device == "cpu":
            ctypes.memmove(target.data_ptr(), source.data_ptr(), source.nbytes)
        else:
            target.copy_(source)

    seconds = [timed(move, device)["wall_s"] for _ in range(10)][1:]
    return {"bytes_per_s": 2 * source.nbytes / statistics.median(seconds)}


def eager_part(folder: str, method: str, device: str) -> dict[str, float]:
    """Whole tensors in torch: the recipe at every site of loaded donors, rounded to the donors' dtype."""
    case, live = METHODS[method], _live(folder, device)
    loaded = {name: dict(live.donors[name].tensors) for name in case.donors}
    if device == "cpu":  # mapped files
        loaded = {name: {site: tensor.clone() for site, tensor in own.items()} for name, own in loaded.items()}
    merged = {site.name: torch.empty(site.shape, dtype=live.dtype, device=device) for site in live.sites}
    recipe = load(case.recipe())

    def merge() -> None:
        for site in live.sites:
            donors = {name: tensors[site.name] for name, tensors in loaded.items()}
            merged[site.name].copy_(eager(recipe, site, donors))

    return timed(merge, device)


def executor(folder: str, method: str, device: str, candidates: str) -> dict[str, Any]:
    """The first candidate of this process, and medians of later ones: other weights each, then other densities too,
    then other weights in one layer only.
    """
    with torch.device("meta"):  # brings in the code of the architecture
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(Path(folder) / DONORS[0]))
    code_bytes = _resident_bytes("RssFile")
    case, live = METHODS[method], _live(folder, device)
    idle_bytes = code_bytes + _resident_bytes("RssAnon")  # without the donors' files, which are mapped
    donors = {name: DonorInfo(donor.layers) for name, donor in live.donors.items()}
    steps = range(1, int(candidates) + 1)
    texts = {
        "first": [case.recipe()],
        "weights": [case.recipe(step, densities=False) for step in steps],
        "densities": [case.recipe(10 + step) for step in steps],
        "layer": [case.in_one_layer(step) for step in range(len(steps) + 1)],
    }
    found = {}
    for name, recipes in texts.items():
        plans = [trace(recipe, live.sites, donors).plan for recipe in recipes]
        seconds = [timed(lambda plan=plan: live.apply(plan), device) for plan in plans]
        counted = seconds[1:] if name == "layer" else seconds  # the first of them changes every layer
        found[name] = {key: statistics.median(one[key] for one in counted) for key in ("wall_s", "cpu_s")}
    return {
        **found,
        "idle_bytes": idle_bytes,
        "read_bytes": sum(tensor.nbytes for name in case.donors for tensor in live.donors[name].tensors.values()),
        "donor_bytes": sum(tensor.nbytes for donor in live.donors.values() for tensor in donor.tensors.values()),
        "model_bytes": sum(parameter.nbytes for parameter in live.model.parameters()),
        "parameters": sum(parameter.numel() for parameter in live.model.parameters()),
        "gpu_peak_bytes": torch.cuda.max_memory_allocated(device) if device != "cpu" else None,
    }


def _resident_bytes(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def _live(folder: str, device: str) -> LiveModel:
    return LiveModel(load_donors({name: Path(folder) / name for name in DONORS}, device), device)


PARTS = {"checkpoints": checkpoints, "copy": copy, "eager": eager_part, "executor": executor}

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
