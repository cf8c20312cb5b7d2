"""What a proposer is asked, what it answers, and what each of its calls cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from evolve.errors import ProposalError

if TYPE_CHECKING:
    import numpy

Patch = Literal["diff", "full", "cross", "fix", "thought"]
Kind = Literal["merge", "program"]
PATCHES: tuple[Patch, ...] = ("diff", "full", "cross", "fix", "thought")
EDITS: tuple[Patch, ...] = ("diff", "fix", "thought")
"""The kinds that are answered with SEARCH/REPLACE blocks; the others with the whole program."""


@dataclass(frozen=True)
class Failure:
    """Why a program earned no score: the reason word, one line of text, and the line of the source if known."""

    reason: str
    message: str
    line: int | None = None


@dataclass(frozen=True)
class Parent:
    """A program of the run as proposers see it.

    ``score`` is oriented so that larger is better, None where the program failed; ``score_low`` and ``score_high``
    bound its confidence interval.
    """

    id: str
    source: str
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, float] = field(default_factory=dict)
    feedback: str = ""
    error: Failure | None = None
    description: str = ""


@dataclass(frozen=True)
class Lesson:
    """What an elite changed against the seed it descends from (a unified diff), and what that did to the score."""

    elite: Parent
    change: str
    effect: str


@dataclass(frozen=True)
class ProposalRequest:
    """Everything a proposer may use to write one child of ``parent``.

    ``patch`` None leaves the choice to the proposer. ``mate`` is the second parent of a crossing. ``inspirations`` are
    elites of other cells; ``relatives`` are further scored programs of the run (any number), from whose numbers the
    offline mutator learns where to step. ``roles``, ``blocks`` and ``layers`` describe the sites of a merge problem,
    ``statistics`` names those prepared for each donor. ``seed`` decides every random choice of the proposer.

    Only language models get what follows. ``item_feedback`` are lines about items of the search split, ``importance``
    about what donors and layers are worth, ``insights`` about earlier edits; ``lesson`` belongs to the patch
    ``thought``. ``known`` gives the number of the program that has a text already.
    """

    parent: Parent
    seed: int
    mate: Parent | None = None
    inspirations: tuple[Parent, ...] = ()
    relatives: tuple[Parent, ...] = ()
    patch: Patch | None = None
    task: str = ""
    kind: Kind = "merge"
    donors: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    layers: int = 0
    statistics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    item_feedback: tuple[str, ...] = ()
    importance: tuple[str, ...] = ()
    insights: tuple[str, ...] = ()
    lesson: Lesson | None = None
    known: Callable[[str], int | None] | None = field(default=None, repr=False, compare=False)
    recommendations: str = ""
    advice: str = ""

    def generator(self) -> numpy.random.Generator:
        """A fresh generator of this request's random choices; each call starts the same stream."""
        import numpy

        return numpy.random.default_rng(self.seed)


@dataclass(frozen=True)
class Call:
    """One call of a language model: what was sent, what came back, and what it cost.

    ``cost_usd`` is None where the price is unknown; ``error`` holds the reason when the reply was not usable.
    """

    provider: str
    model: str
    prompt: str
    reply: str
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Proposal:
    """A child's source with a one-line description of the edit."""

    source: str
    description: str
    patch: str
    proposer: str
    calls: tuple[Call, ...] = ()


class Proposer(Protocol):
    """Writes programs. ``patches`` are the kinds that a request may ask it for.

    ``propose`` is safe to await several times at once, uses no randomness but ``request.seed``, and never changes text
    outside the EVOLVE-BLOCKs of ``request.parent.source``. It raises a ProposalError when no program came about;
    ``calls_of(error)`` then lists the calls that were paid for.
    """

    @property
    def name(self) -> str: ...

    @property
    def patches(self) -> tuple[Patch, ...]: ...

    async def propose(self, request: ProposalRequest) -> Proposal: ...


_Error = TypeVar("_Error", bound=ProposalError)


def with_calls(error: _Error, calls: Iterable[Call]) -> _Error:
    """The same error, carrying the calls that were made before it was raised."""
    vars(error)["calls"] = tuple(calls)
    return error


def calls_of(error: ProposalError) -> tuple[Call, ...]:
    """The calls that a failed proposal was charged for."""
    return tuple(vars(error).get("calls", ()))
