"""The donors of a problem and their statistics, as ``evolve donors`` lists and prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evolve.errors import ProblemError
from evolve.loop.observer import Observer
from evolve.loop.start import prepared
from evolve.problem import Problem
from evolve.sources import described

if TYPE_CHECKING:
    from evolve.donor_statistics import StatisticsSpec
    from evolve.donors.donors import Donors
    from evolve.donors.statistics import DonorStatistics

COLUMNS = ("name", "source", "digest", "layers", "parameters", "size_bytes", "dtype", "statistics")
_DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class Stock:
    """The loaded donors of a problem; ``spec`` says what their statistics are made from, if the profile does."""

    problem: Problem
    donors: Donors
    spec: StatisticsSpec | None

    def statistics(self) -> DonorStatistics:
        """Raises ProblemError when the profile names no texts, or texts that cannot be read."""
        from evolve.donors.statistics import DonorStatistics
        from evolve.merge.model import load_tokenizer

        if self.spec is None:
            raise ProblemError(
                f"profile {self.problem.profile_name!r} of {self.problem.name} names no texts for statistics; add to "
                f'problem.toml: [profiles.{self.problem.profile_name}.statistics] with texts = "texts.jsonl" (a line '
                'for each text: {"text": "..."})'
            )
        return DonorStatistics(
            self.donors, load_tokenizer(self.donors, self.problem.profile.tokenizer or None), self.spec
        )


async def stock_of(problem: Problem, observer: Observer, device: str) -> Stock:
    """Loads the donors on the CPU, after the problem's prepare hook; those to be aligned are aligned on ``device``.

    Raises ProblemError, DonorError, or UsageError for a device that is not there.
    """
    if problem.kind != "merge":
        raise ProblemError(f"{problem.name} evolves programs and has no donors; name a problem of kind 'merge'")
    made = await prepared(problem, observer)
    from evolve.donors.device import compute_device
    from evolve.donors.donors import load_donors

    donors = load_donors(
        problem.donors(made), **problem.vocabulary, aligned_on=compute_device(device), said=observer.message
    )
    return Stock(problem, donors, problem.statistics(made))


def listing(stock: Stock, observer: Observer) -> list[dict[str, Any]]:
    """One row of ``COLUMNS`` for each donor; ``statistics`` are those prepared for the profile's texts as they are."""
    statistics = None
    if stock.spec is not None:
        try:
            statistics = stock.statistics()
        except ProblemError as error:
            observer.message(f"note: {error}")
    rows = []
    for name, donor in stock.donors.items():
        tensor = donor.tensors[stock.donors.sites[0].name]
        rows.append(
            {
                "name": name,
                "source": described(stock.problem.profile.donors[name]),
                "digest": donor.digest[:_DIGEST_CHARACTERS],
                "layers": donor.layers,
                "parameters": donor.parameters,
                "size_bytes": donor.parameters * tensor.element_size(),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "statistics": list(statistics.names(name)) if statistics else [],
            }
        )
    return rows


def prepare(stock: Stock, names: Sequence[str], device: str, observer: Observer) -> None:
    """Makes the named statistics where they are missing and says where they lie."""
    from evolve.evaluate.statistics import prepare_statistics

    statistics = stock.statistics()
    counts = {**statistics.texts, "unlabelled": statistics.unlabelled}
    told = ", ".join(f"{name} {len(texts)}" for name, texts in counts.items())
    observer.message(f"statistics in {statistics.folder}; texts: {told}")
    prepare_statistics(statistics, names, device, observer.preparation, lambda path: observer.message(f"wrote {path}"))
