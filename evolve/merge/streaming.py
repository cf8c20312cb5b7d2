"""Builds the checkpoint of a plan without ever holding a model in memory: one parameter after another."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from evolve.donors.adapters import AdaptedTensors
from evolve.donors.checkpoint import Checkpoint, Location, one_line, open_checkpoint
from evolve.donors.digest import is_finite
from evolve.donors.donors import Donors, expected_shapes
from evolve.donors.sites import EMBEDDING, HEAD, architecture, layer_name
from evolve.donors.vocabulary import TOKENIZER_FILES
from evolve.errors import CandidateError, DonorError, RunError, UsageError
from evolve.execute.executor import Executor
from evolve.execute.workspace import Workspace
from evolve.merge.folder import check_target, existing_parent, unfinished_folder
from evolve.merge.model import GENERATION_CONFIG
from evolve.merge.stack import cumulative_scales, fold
from evolve.merge.writer import ShardedWriter, TensorFile
from evolve.plan.plan import MERGED, Plan, StackEntry
from evolve.site import Site

# Float32 tensors of a site that a method has at once: differences, magnitudes, masks.
_WORKING_TENSORS = 4


@dataclass(frozen=True)
class Options:
    """How a checkpoint is built; ``dtype`` None: as the reference donor is stored.

    Up to ``threads`` parameters are in work at once while they need less than ``memory_bytes`` together. ``tokenizer``
    is the folder that it comes from.
    """

    tokenizer: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None
    threads: int = 1
    memory_bytes: int = 4 * 2**30
    shard_bytes: int = 5 * 10**9


class _Target(NamedTuple):
    """A parameter to write: its name, whose tensor it takes (``merged`` or a donor), the scale to fold in."""

    name: str
    source: str
    scale: float


def build(
    plan: Plan, donors: Donors, folder: Path, card: str, options: Options, progress: Callable[[int, int], None]
) -> None:
    """Writes the merged model of a validated plan to ``folder``, with configuration, tokenizer and ``card``.

    ``progress`` gets the bytes done and all bytes. Everything is written next to ``folder``, read back and compared
    with what was computed; ``folder`` appears whole or not at all. Raises UsageError when it exists and is not empty
    or the disk is too small, CandidateError where a merged number is not finite (DonorError where a donor's is not),
    RunError when the check fails.
    """
    folder = folder.absolute()
    check_target(folder)
    dtype = options.dtype or donors.reference.tensors[EMBEDDING].dtype
    config = _config(donors.reference.config, plan.stack, dtype)
    shapes = expected_shapes(config)
    _check_space(folder, shapes, dtype)
    try:
        with unfinished_folder(folder) as unfinished:
            with ShardedWriter(unfinished, shapes, dtype, options.shard_bytes) as writer:
                _fill(writer, plan, donors, options, progress)
                writer.verify()
            config.save_pretrained(unfinished)
            _copy_files(options.tokenizer, donors.reference.path, unfinished)
            (unfinished / "README.md").write_text(card, encoding="utf-8")
            _check_loads(unfinished, writer.names)
    except OSError as error:
        raise RunError(f"{folder} could not be written: {one_line(error)}; nothing of it was kept") from error


def _fill(
    writer: ShardedWriter, plan: Plan, donors: Donors, options: Options, progress: Callable[[int, int], None]
) -> None:
    """Merges all sites, several at once."""
    scales = None if plan.stack is None else cumulative_scales([entry.scale for entry in plan.stack])
    family = architecture(donors.reference.config.model_type)
    executor = Executor(plan, options.device, Workspace(kept_bytes=0))
    reader = _Reader(donors, plan.donors)
    executor.gather(lambda name: reader.read(name, executor.donors_of(name)))

    def work(site: Site, targets: Sequence[_Target]) -> int:
        merges = any(target.source == MERGED for target in targets)
        wanted = {target.source for target in targets} - {MERGED}
        tensors = reader.read(site.name, wanted | (executor.donors_of(site.name) if merges else set()))
        # A layer that the stack repeats is merged once.
        merged = executor.compute_site(site.name, tensors) if merges else None
        written = 0
        for target in targets:
            value = merged if target.source == MERGED else tensors[target.source].to(options.device, torch.float32)
            assert value is not None
            rounded = fold(value, site.role, target.scale, family).to("cpu", writer.dtype)
            _check_finite(target.name, rounded, site.name, tensors)
            written += writer.write(target.name, rounded)
        return written

    jobs = [(site, targets) for site in donors.sites if (targets := _targets(site, plan.stack, scales))]
    sizes = [_needed_bytes(site, reader.itemsize(site.name), len(plan.donors)) for site, _ in jobs]
    done = 0
    progress(done, writer.total_bytes)
    for count in _in_threads(work, jobs, sizes, options):
        done += count
        progress(done, writer.total_bytes)


def _needed_bytes(site: Site, itemsize: int, donors: int) -> int:
    """Memory for merging one site: the donors as stored, and some float32 tensors of its size."""
    return math.prod(site.shape) * (itemsize * donors + 4 * _WORKING_TENSORS)


def _in_threads(
    work: Callable[[Site, Sequence[_Target]], int],
    jobs: Sequence[tuple[Site, Sequence[_Target]]],
    sizes: Sequence[int],
    options: Options,
) -> Iterator[int]:
    """Results of the jobs as they end; jobs at work together need no more than the memory, unless one alone does."""
    busy: dict[Future[int], int] = {}
    with ThreadPoolExecutor(options.threads) as pool:
        try:
            for job, size in zip(jobs, sizes, strict=True):
                while busy and (len(busy) >= options.threads or sum(busy.values()) + size > options.memory_bytes):
                    ended, _ = wait(busy, return_when=FIRST_COMPLETED)
                    for future in ended:
                        del busy[future]
                        yield future.result()
                busy[pool.submit(work, *job)] = size
            for future in as_completed(busy):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _targets(site: Site, stack: Sequence[StackEntry] | None, scales: Sequence[float] | None) -> list[_Target]:
    """The parameters that are made from one site; none for a layer that the stack leaves out."""
    if stack is None or scales is None:
        return [_Target(site.name, MERGED, 1.0)]
    if site.layer is None:
        return [_Target(site.name, MERGED, scales[-1])]
    return [
        _Target(layer_name(site.name, position), entry.model, scale)
        for position, (entry, scale) in enumerate(zip(stack, scales, strict=True))
        if entry.layer == site.layer
    ]


class _Reader:
    """Reads donors' tensors into memory that can be given back, not by mapping files; thread-safe.

    Adapters, and embeddings of a united vocabulary, are taken as loaded.
    """

    def __init__(self, donors: Donors, names: Collection[str]) -> None:
        self._donors = donors
        self._sites = {site.name: site for site in donors.sites}
        self._plain: dict[str, tuple[Checkpoint, dict[str, TensorFile]]] = {}
        for name in names:
            if not isinstance(donors[name].tensors, AdaptedTensors):
                checkpoint = open_checkpoint(Location(name, donors[name].path, None), "take another copy")
                files = {file: TensorFile(checkpoint.path / file) for file in checkpoint.weight_files}
                self._plain[name] = checkpoint, files

    def read(self, site: str, names: Collection[str]) -> dict[str, Tensor]:
        """The donors' tensors of one site."""
        return {name: self._read(site, name) for name in sorted(names)}

    def itemsize(self, site: str) -> int:
        return max(self._donors.reference.tensors[site].dtype.itemsize, 2)

    def _read(self, site: str, name: str) -> Tensor:
        united = self._donors.union is not None and self._sites[site].role in ("embed", "head")
        if united or name not in self._plain:
            return self._donors[name].tensors[site]
        checkpoint, files = self._plain[name]
        stored = EMBEDDING if site == HEAD and HEAD not in checkpoint.files else site
        return files[checkpoint.files[stored]].read(stored, tuple(self._sites[site].shape))


def _check_finite(name: str, tensor: Tensor, site: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises CandidateError for a merged tensor that is not finite, DonorError where that comes from a donor's."""
    if not is_finite(tensor):
        for donor, given in tensors.items():
            if not is_finite(given):
                raise DonorError(f"donor {donor!r}: {site} holds NaN or infinite numbers; take another copy")
        raise CandidateError(
            f"the merged {name} has NaN or infinite numbers; avoid division by zero and keep weights moderate",
            kind="NotFinite",
        )


def _config(reference: Any, stack: Sequence[StackEntry] | None, dtype: torch.dtype) -> Any:
    """The reference's configuration with the depth and layer types of the stack."""
    config = copy.deepcopy(reference)
    config.dtype = dtype
    if not config.architectures:
        config.architectures = [str(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type])]
    if stack is not None:
        config.num_hidden_layers = len(stack)
        if getattr(reference, "layer_types", None):
            config.layer_types = [reference.layer_types[entry.layer] for entry in stack]
    return config


def _copy_files(tokenizer: Path, reference: Path, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    for source in (tokenizer, reference):
        if (source / GENERATION_CONFIG).is_file():
            shutil.copyfile(source / GENERATION_CONFIG, folder / GENERATION_CONFIG)
            return


def _check_loads(folder: Path, files: Sequence[str]) -> None:
    """Reads the configuration, the tables of the files and the tokenizer as any other program would."""
    try:
        written = open_checkpoint(Location(str(folder), folder, None), "")
        present = set().union(*(_keys(folder / file) for file in files))
        if any((folder / name).is_file() for name in TOKENIZER_FILES):
            AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (DonorError, OSError, ValueError) as error:
        raise RunError(f"{folder} failed its check: {one_line(error)}") from error
    if present != set(expected_shapes(written.config)):
        differing = sorted(present ^ set(expected_shapes(written.config)))
        raise RunError(f"{folder} failed its check: {differing[0]} is not in both configuration and files")


def _keys(file: Path) -> set[str]:
    with safe_open(file, framework="pt", device="cpu") as handle:
        return set(handle.keys())


def _check_space(folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
    needed = sum(torch.Size(shape).numel() for shape in shapes.values()) * dtype.itemsize
    free = shutil.disk_usage(existing_parent(folder)).free
    if needed > free:
        raise UsageError(
            f"{folder} needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free on its disk; name another"
        )
