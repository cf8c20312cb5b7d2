"""Computes the donor statistics that are missing; one process at a time makes each file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path

import torch

from evolve.donors.device import compute_device
from evolve.donors.donor_model import GROUP_BYTES, donor_model
from evolve.donors.fisher import fisher
from evolve.donors.gram import gram, same_inputs
from evolve.donors.statistics import DonorStatistics
from evolve.errors import PreparationError
from evolve.evaluate.environment import available_bytes
from evolve.evaluate.preparation import Progress, locked
from evolve.merge.adamerging import learned_coefficients
from evolve.plan.statistics import available, shape_of
from evolve.site import Site

# Threads only wait for each other in models smaller than this.
_SMALL_PARAMETERS = 10**8
_BYTES = 4
# The model, and for AdaMerging also merge, gradient and activations, in float32.
_MODELS_IN_MEMORY = {"fisher": 1, "gram": 1, "adamerging": 4}


def prepare_statistics(
    statistics: DonorStatistics,
    names: Sequence[str],
    device: str,
    progress: Progress,
    written: Callable[[Path], None],
) -> None:
    """Makes those of the named statistics that donors lack; ``written`` gets each new file.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. What is interrupted leaves no file that looks complete,
    what is there is kept. Raises UsageError, and PreparationError where disk or memory are too small.
    """
    place = compute_device(device)
    threads = torch.get_num_threads()
    if statistics.donors.reference.parameters < _SMALL_PARAMETERS:
        torch.set_num_threads(1)
    statistics.folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in names:
            lacking = missing(statistics, name)
            if name == "adamerging":
                _learn(statistics, lacking, place, progress, written)
                continue
            for number, donor in enumerate(lacking):
                shown = partial(_of_all, progress, name, number, len(lacking))
                with locked(statistics.folder / statistics.store(donor).key(name), progress):
                    # another process may have made it meanwhile
                    if donor in missing(statistics, name):
                        _check_room(statistics, name, lacking[number:], place)
                        written(_make(statistics, name, donor, place, shown))
    finally:
        torch.set_num_threads(threads)


def missing(statistics: DonorStatistics, name: str) -> list[str]:
    """The donors for which a statistic can be made and is not there."""
    return [
        donor for donor in statistics.donors if name in statistics.wanted(donor) and name not in statistics.names(donor)
    ]


def _learn(
    statistics: DonorStatistics,
    lacking: Sequence[str],
    device: torch.device,
    progress: Progress,
    written: Callable[[Path], None],
) -> None:
    """AdaMerging's coefficients of all donors at once, written for those that lack them."""
    name, donors, settings = "adamerging", statistics.donors, statistics.spec.adamerging
    if not lacking:
        return
    with locked(statistics.folder / statistics.store(lacking[0]).key(name), progress):
        still = missing(statistics, name)
        if not still:
            return
        _check_room(statistics, name, still, device)
        learned = learned_coefficients(donors, statistics.unlabelled, settings, device, partial(progress, name))
        for donor in still:
            written(statistics.store(donor).write(donors[donor].digest, name, learned[donor]))


def _make(
    statistics: DonorStatistics, name: str, donor: str, device: torch.device, progress: Callable[[int, int], None]
) -> Path:
    """Computes fisher or gram of a donor on its own texts."""
    same = same_inputs(_sites(statistics, name)) if name == "gram" else {}
    sites = [site for site in _sites(statistics, name) if site.name not in same]
    model = donor_model(statistics.donors[donor], statistics.donors, device)
    tensors = {"fisher": fisher, "gram": gram}[name](model, statistics.texts[donor], sites, progress)
    shapes = {site.name: shape_of(name, site) for site in sites}
    return statistics.store(donor).write_stream(statistics.donors[donor].digest, name, shapes, tensors, same)


def _of_all(progress: Progress, name: str, number: int, donors: int, done: int, total: int) -> None:
    """The progress of one of several equal tasks as that of all of them."""
    progress(name, number * total + done, donors * total)


def _sites(statistics: DonorStatistics, name: str) -> list[Site]:
    return [site for site in statistics.donors.sites if available(name, site)]


def _check_room(statistics: DonorStatistics, name: str, lacking: Sequence[str], device: torch.device) -> None:
    """Raises PreparationError before anything is computed that would not fit."""
    sites = _sites(statistics, name)
    same = same_inputs(sites) if name == "gram" else {}
    size = _BYTES * sum(prod(shape_of(name, site)) for site in sites if site.name not in same)
    folder = statistics.folder
    free = shutil.disk_usage(folder).free
    if size * len(lacking) > free:
        raise PreparationError(
            f"{name} of {len(lacking)} donors needs {_gigabytes(size * len(lacking))} on disk, {_gigabytes(free)} are "
            f"free in {folder}; name a larger disk in EVOLVE_CACHE"
        )
    parameters = sum(prod(site.shape) for site in statistics.donors.sites)
    sums = 0 if name == "adamerging" else min(GROUP_BYTES, 2 * size)
    needed = _MODELS_IN_MEMORY[name] * _BYTES * parameters + sums
    memory = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    if needed > memory:
        raise PreparationError(
            f"{name} needs about {_gigabytes(needed)} of memory on {device}, {_gigabytes(memory)} are free; use a "
            "larger machine, or another device with --device"
        )


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
