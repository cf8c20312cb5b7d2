"""What goes into the program database and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RunState = Literal["created", "running", "stopped", "finished", "failed"]
ProposalState = Literal[
    "proposed", "traced", "queued", "evaluating", "scored", "duplicate", "rejected", "failed", "abandoned"
]
Direction = Literal["maximize", "minimize"]
ArchiveStatus = Literal["not_added", "improve_existing", "new"]

UNFINISHED: tuple[ProposalState, ...] = ("proposed", "traced", "queued", "evaluating")
FINISHED: tuple[ProposalState, ...] = ("scored", "duplicate", "rejected", "failed", "abandoned")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One evolution; ``digests`` names the parts of the problem (file or setting) and their sha256."""

    id: str
    problem: str
    profile: str
    digests: Mapping[str, str]
    config: Mapping[str, Any]
    seed: int
    version: str
    direction: Direction = "maximize"
    state: RunState = "created"
    created: str = ""
    winner_id: int | None = None


@dataclass(frozen=True, slots=True)
class ProposalRequest:
    """What is known when a child is asked for.

    ``seed_name`` marks a program that came with the problem; ``note`` is what the search strategy wants back;
    ``prompt_id`` is the variant of the instructions that a language model gets.
    """

    island: int
    generation: int
    patch: str
    proposer: str
    parent_id: int | None = None
    mate_id: int | None = None
    inspirations: tuple[int, ...] = ()
    description: str = ""
    seed_name: str | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    prompt_id: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An earlier program with the same digest; ``program_id`` is the original, never itself a duplicate."""

    program_id: int
    state: ProposalState
    score: float | None
    reason: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A proposal that was under way when its process ended; ``source`` is None when no reply had arrived."""

    id: int
    state: ProposalState
    request: ProposalRequest
    source: str | None
    source_digest: str | None
    plan_digest: str | None
    plan_json: str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """The program that holds one cell of one island's grid."""

    island: int
    key: str
    program_id: int
    score: float


@dataclass(frozen=True, slots=True)
class LlmCall:
    """One request to a language model; ``cost_usd`` None means that the price is unknown."""

    provider: str
    model: str
    prompt: str
    reply: str | None
    seconds: float
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    purpose: str = "proposal"


@dataclass(frozen=True, slots=True)
class Counts:
    """Proposals by state, and how many evaluations of the search split they have used.

    An evaluation is used by a score and by a failure while evaluating; duplicates and copies use none.
    """

    by_state: Mapping[ProposalState, int] = field(default_factory=dict)
    evaluations: int = 0

    @property
    def proposals(self) -> int:
        return sum(self.by_state.values())


@dataclass(frozen=True, slots=True)
class Cost:
    """Money spent on language models: the known part, and how many calls have an unknown price."""

    known_usd: float = 0.0
    unknown_calls: int = 0


@dataclass(frozen=True, slots=True)
class Children:
    """How often a program was a parent, and how many of those children entered or improved a cell."""

    asked: int = 0
    archived: int = 0


@dataclass(frozen=True, slots=True)
class Contender:
    """What decides whether a scored program holds a cell; the fields are those of ``ScoredProgram``."""

    id: int
    island: int
    score: float
    features: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ScoredProgram:
    """What the archive needs of a program with a search score; ``island`` is the one it was born on.

    ``score`` is the mean over the items of ``search`` and ``fresh`` where it was evaluated on both.
    """

    id: int
    island: int
    generation: int
    parent_id: int | None
    score: float
    features: Mapping[str, float]
    outcomes: tuple[float, ...]
    children: Children


@dataclass(frozen=True, slots=True)
class Elite:
    """A row of ``cells`` with its program."""

    cell: Cell
    program: ScoredProgram


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """What a prompt needs of a program: its text and what its search evaluation said."""

    id: int
    state: ProposalState
    island: int
    generation: int
    parent_id: int | None
    mate_id: int | None
    patch: str
    proposer: str
    description: str
    seed_name: str | None
    source: str | None
    source_digest: str | None
    plan_digest: str | None
    knobs: tuple[Mapping[str, Any], ...]
    score: float | None
    metrics: Mapping[str, float]
    features: Mapping[str, float]
    outcomes: tuple[float, ...]
    feedback: str
    reason: str | None
    message: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one proposal ended, for the search strategy that has to learn from it.

    ``score`` of a duplicate is its original's. ``evaluated`` says whether it used an evaluation, ``whole`` whether that
    went through all items.
    """

    id: int
    request: ProposalRequest
    state: ProposalState
    reason: str | None
    source: str | None
    score: float | None
    parent_score: float | None
    archived: bool
    evaluated: bool
    whole: bool
    seconds: float
    cost_usd: float | None
    outcomes: tuple[float, ...]
