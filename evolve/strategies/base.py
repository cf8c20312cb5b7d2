"""What a search strategy is asked, what it answers, and what it is told.

A package adds a strategy by naming a function ``make(setting) -> Strategy`` under the entry point group
``evolve.strategies``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evolve.propose.base import Kind, ProposalRequest, Proposer

if TYPE_CHECKING:
    import numpy

    from evolve.propose.ensemble import Ensemble
    from evolve.search.archive import Archive

DEFAULT = "evolve"
"""The strategy of this project; it is built by the loop, the others by ``evolve.strategies.registry``."""


@dataclass(frozen=True)
class Setting:
    """What a strategy knows before anything is scored.

    ``donors`` maps names to numbers of layers, in the problem's order; ``base`` is the donor that experts were tuned
    from, None where no donor is called base. ``seeds`` maps names to sources; the engine evaluates them first and tells
    their scores. ``seed`` is the run's, ``evaluations`` its budget (0: none). ``options`` is the table
    ``[search.options]`` of the settings.
    """

    kind: Kind
    donors: Mapping[str, int]
    base: str | None
    layers: int
    roles: tuple[str, ...]
    blocks: tuple[str, ...]
    statistics: Mapping[str, tuple[str, ...]]
    task: str
    seeds: Mapping[str, str]
    seed: int
    ensemble: Ensemble
    archive: Archive
    evaluations: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def experts(self) -> tuple[str, ...]:
        """The donors other than the base."""
        return tuple(name for name in self.donors if name != self.base)

    def request(self, seed: int, **material: Any) -> ProposalRequest:
        """A request for a proposer about this problem; ``material`` are its other fields, the parent among them."""
        return ProposalRequest(
            seed=seed,
            task=self.task,
            kind=self.kind,
            donors=tuple(self.donors),
            roles=self.roles,
            blocks=self.blocks,
            layers=self.layers,
            statistics=self.statistics,
            **material,
        )


@dataclass(frozen=True)
class Ask:
    """One proposal that a strategy wants.

    Either ``source`` is its text, or ``proposer`` writes it for ``request``. ``arm`` is what the result is credited to
    (stored as the proposal's proposer). ``parent``, ``mate`` and ``inspirations`` are numbers of programs. ``note`` is
    plain JSON data that is stored beside the proposal and comes back in ``Told``, also after a resume.
    """

    arm: str
    source: str | None = None
    request: ProposalRequest | None = None
    proposer: Proposer | None = None
    description: str = ""
    patch: str = "open"
    island: int = 0
    parent: int | None = None
    mate: int | None = None
    inspirations: tuple[int, ...] = ()
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """How a proposal ended.

    ``score`` is maximised; None where there is none. A duplicate has the score of its original and ``used`` False.
    ``whole`` is False where the evaluation was stopped early: the score is then an estimate, its rival's over all items
    plus their difference on those that were answered.
    ``seconds`` is the evaluation's time, ``cost_usd`` None where a price is unknown, 0 without calls.
    """

    id: int
    arm: str
    note: Mapping[str, Any]
    source: str | None
    score: float | None
    parent: int | None = None
    parent_score: float | None = None
    used: bool = True
    whole: bool = True
    seed_name: str | None = None
    state: str = "scored"
    reason: str | None = None
    patch: str = ""
    island: int = 0
    archived: bool = False
    outcomes: tuple[float, ...] = ()
    seconds: float = 0.0
    cost_usd: float | None = 0.0


class Strategy(Protocol):
    """Decides what is proposed.

    ``ask`` returns the next proposal, drawing all randomness from ``rng`` (seeded by run seed and proposal number), or
    None when nothing can be proposed before something in flight has ended; with nothing in flight None ends the run.
    ``tell`` is called once for every proposal that ended, seeds included, in the order of their ends; a resumed run
    tells everything of the past first, then goes on. Neither waits for anything.
    """

    def ask(self, rng: numpy.random.Generator) -> Ask | None: ...

    def tell(self, told: Told) -> None: ...
