"""``evolve merge``: the model of a recipe file, outside any run."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.convert import read_text
from evolve.cli.run import pairs
from evolve.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evolve.donors.donors import Donors

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def size_bytes(text: str, option: str) -> int:
    """Bytes of ``500MB``, ``4GB``, ``1.5GiB`` or a plain number."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?B?)\s*", text, re.IGNORECASE)
    unit = match[2].upper() if match else ""
    unit = unit if unit in UNITS else f"{unit}B"
    if match is None or unit not in UNITS or float(match[1]) <= 0:
        raise UsageError(f"{option} takes a size such as 500MB or 4GB, not {text!r}")
    return int(float(match[1]) * UNITS[unit])


@click.command("merge")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the new model.")
@click.option("--donor", "donors", multiple=True, metavar="NAME=PATH", help="Use this folder or hub id for a donor.")
@click.option("--dtype", type=click.Choice(["auto", "bfloat16", "float16", "float32"]), default="auto",
              show_default=True, help="What the numbers are rounded to; auto: as the base is stored.")  # fmt: skip
@click.option("--vocabulary", type=click.Choice(["reference", "union"]), default="reference", show_default=True,
              help="Tokens of the merged model: the base's, or those of all donors.")  # fmt: skip
@click.option("--tokenizer", help="Donor or folder whose tokenizer to take.  [default: the base's]")
@click.option("--memory-limit", default="4GB", show_default=True, help="Merge parameters side by side within this.")
@click.option("--shard-size", default="5GB", show_default=True, help="Largest size of a weight file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--threads", type=click.IntRange(min=1), help="Parameters in work at once.  [default: one per core]")
def merge_command(recipe: Path, out: Path, donors: tuple[str, ...], dtype: str, vocabulary: str, tokenizer: str | None,
                  memory_limit: str, shard_size: str, device: str, threads: int | None) -> None:  # fmt: skip
    """Build the model of RECIPE, a Python file with a merge function and a constant DONORS, in a new folder.

    The recipe is traced in the sandbox; the donors are read one parameter at a time, so that models larger than the
    memory can be merged. What was written is read back and compared; the folder appears whole or not at all.
    """
    from evolve.loop.standalone import card, named_donors, traced

    source = read_text(recipe)
    spec = named_donors(source, recipe, pairs(donors, "--donor"))
    limit, shards = size_bytes(memory_limit, "--memory-limit"), size_bytes(shard_size, "--shard-size")

    import torch

    from evolve.donors.device import compute_device
    from evolve.donors.donors import load_donors
    from evolve.merge.folder import check_target
    from evolve.merge.streaming import Options, build
    from evolve.ui.progress import progress

    place = compute_device(device)
    check_target(out)
    torch.set_num_threads(1)  # parameters are read and written side by side instead
    # Looking for NaN would read every donor once more; what is merged is looked at in any case.
    said = partial(click.echo, err=True)
    loaded = load_donors(spec, vocabulary=vocabulary, finite=False, aligned_on=place, said=said)
    for note in loaded.notes:
        said(note)
    plan = traced(source, recipe, loaded.sites, {name: donor.layers for name, donor in loaded.items()})
    options = Options(
        tokenizer=_tokenizer(tokenizer, loaded),
        device=str(place),
        dtype=None if dtype == "auto" else getattr(torch, dtype),
        threads=threads or len(os.sched_getaffinity(0)),
        memory_bytes=limit,
        shard_bytes=shards,
    )
    with _terminable(), progress("merging") as report:
        build(plan, loaded, out, card(recipe, source, spec, loaded, plan), options, report)
    click.echo(f"wrote {out}: plan {plan.digest[:16]}, verified bit for bit")
    click.echo(f"load it with:  AutoModelForCausalLM.from_pretrained({str(out)!r})")


def _tokenizer(name: str | None, donors: Donors) -> Path:
    if name is None:
        return donors.tokenizer
    if name in donors:
        return donors[name].path
    if Path(name).is_dir():
        return Path(name)
    raise UsageError(f"--tokenizer {name} is neither a donor ({', '.join(donors)}) nor a folder")


@contextmanager
def _terminable() -> Iterator[None]:
    """Lets a polite request to end (SIGTERM) clean up as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
