"""A language model as the update rule of an evolution strategy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from evolve.errors import ProviderError, UsageError
from evolve.gaussian import Vector
from evolve.llm.completion import Message
from evolve.propose.base import Call, Parent, Patch, Proposal, ProposalRequest, calls_of, with_calls
from evolve.propose.language_model import LanguageModel
from evolve.propose.mutator.literals import knob_values
from evolve.search.cma import reflected
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of
from evolve.strategies.task_arithmetic import HIGH, LOW
from evolve.strategies.templates import require_base, require_merge, tunable_seed, weighted_sum
from evolve.strategies.tuning import Tunable

NAME = "evollm"
RESOLUTION = 1000
MAX_ECHO_CHARACTERS = 2000
_LISTS = re.compile(r"(?<![\w.-])\d+(?:[ \t]*,[ \t]*\d+)*(?!\w|\.\d)")

Members = Sequence[tuple[Vector, float]]


@dataclass(frozen=True)
class Options:
    """``program``: a seed whose knobs are searched in place of the weights of task arithmetic; ``population``: samples
    for each mean; ``sigma``: their standard deviation, as a share of each range; ``shown``: members in a prompt;
    ``block``: most coordinates of one question; ``attempts``: tries until a reply can be read."""

    program: str = ""
    population: int = 5
    sigma: float = 0.1
    shown: int = 20
    block: int = 16
    attempts: int = 3


class EvoLLM:
    """Members as integers 0..1000 of their bounds, sorted from worst to best; the model writes the next mean, around
    which ``population`` points are sampled.

    Source: Large language models as evolution strategies, arXiv 2402.18381 (Lange, Tian, Tang 2024). Blocks of
    coordinates are asked for one after the other. Without a readable reply the mean is the best member. Different from
    the paper: results enter as they come, the members shown are the best of the run, and the prompt's words are ours.
    The members follow from what was told; a resumed run asks for a new mean.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError without a language model in the run, and for options out of range."""
        require_merge(setting, NAME)
        self._options = options = options_of(Options, setting)
        self._ensemble = setting.ensemble
        if not self._models():
            raise UsageError("the strategy 'evollm' asks a language model; give one, such as --llm openai/gpt-5-mini")
        if min(options.population, options.shown, options.block, options.attempts) < 1 or options.sigma <= 0:
            raise UsageError(
                "evollm needs search.options population, shown, block, attempts of 1 or more, sigma above 0"
            )
        if options.program:
            self._program = tunable_seed(setting, options.program)
        else:
            require_base(setting, f"the strategy {NAME!r}")
            self._program = Tunable(weighted_sum(setting, LOW, HIGH, round(1 / len(setting.experts), 4)))
        self.members: list[tuple[Vector, float]] = []
        self._mean: Mean | None = None
        self._left = 0

    def _models(self) -> list[LanguageModel]:
        return [arm.proposer for arm in self._ensemble.arms if isinstance(arm.proposer, LanguageModel)]

    def ask(self, rng: numpy.random.Generator) -> Ask | None:
        """A sample around the present mean; None when every service was left out."""
        models = self._models()
        if not models:
            return None
        if self._mean is None or self._left < 1 or self._mean.model not in models:
            model = models[int(rng.integers(len(models)))]
            self._mean = Mean(model, self._program, tuple(self.members), self._options)
            self._left = self._options.population
        self._left -= 1
        request = ProposalRequest(Parent("0", self._program.source), seed=int(rng.integers(2**63)))
        return Ask(NAME, request=request, proposer=Sample(self._mean, self._program, self._options.sigma), patch="full")

    def tell(self, told: Told) -> None:
        """A result of this strategy, best first among the members; its point is read from its knobs."""
        if told.arm != NAME or told.source is None or told.score is None or not told.used:
            return
        point = self._program.space.point(knob_values(told.source))
        if point is not None:
            self.members.append((point, told.score))
            self.members.sort(key=lambda member: -member[1])
            del self.members[self._options.shown :]


class Mean:
    """A mean that is asked for once, when the first of its samples is due; the others wait for it."""

    def __init__(self, model: LanguageModel, program: Tunable, members: Members, options: Options) -> None:
        """``members``: points in 0..1 with their scores, best first."""
        self.model = model
        self._names = [
            knob.name if len(knob.values) == 1 else f"{knob.name}[{index}]"
            for knob in program.space.knobs
            for index in range(len(knob.values))
        ]
        self._start = program.space.here()
        self._members = members
        self._options = options
        self._found: Vector | None = None
        self._lock = asyncio.Lock()

    async def point(self) -> tuple[Vector, tuple[Call, ...]]:
        """The mean, shape (n,) in 0..1, with the calls made for it by this request.

        Raises ProviderError when the service fails; the next sample then tries again.
        """
        async with self._lock:
            if self._found is not None:
                return self._found, ()
            if not self._members:
                self._found = self._start  # nothing is known yet that could be shown
                return self._found, ()
            mean, calls = self._members[0][0].copy(), list[Call]()
            for first in range(0, len(mean), self._options.block):
                block = slice(first, first + self._options.block)
                answer = await self._answered(block, calls)
                if answer is not None:
                    mean[block] = answer
            self._found = mean
            return mean, tuple(calls)

    async def _answered(self, block: slice, calls: list[Call]) -> Vector | None:
        """The mean of a block of coordinates, None when no attempt gives one; adds the calls made."""
        opening = prompt(self._names[block], [(point[block], score) for point, score in self._members])
        messages = opening
        for _ in range(self._options.attempts):
            try:
                call = await self.model.answer(messages)
            except ProviderError as error:
                raise with_calls(error, [*calls, *calls_of(error)]) from None
            found = read(call.reply, len(self._names[block]))
            calls.append(call)
            if found is not None:
                return found
            again = f"Answer with exactly {len(self._names[block])} integers from 0 to {RESOLUTION}, with commas."
            echo = call.reply[:MAX_ECHO_CHARACTERS] or "(empty reply)"
            messages = [*opening, Message("assistant", echo), Message("user", again)]
        return None


@dataclass(frozen=True)
class Sample:
    """The proposer of one point around a mean."""

    mean: Mean
    program: Tunable
    sigma: float
    patches: tuple[Patch, ...] = ("full",)

    @property
    def name(self) -> str:
        """The model's: a service that fails time after time is left out by this name."""
        return self.mean.model.name

    async def propose(self, request: ProposalRequest) -> Proposal:
        """The recipe at mean + sigma N(0, I). Raises ProviderError, with the calls made, when the service fails."""
        mean, calls = await self.mean.point()
        noise = request.generator().normal(0.0, self.sigma, len(mean))
        source, description = self.program.written(reflected(mean + noise))
        return Proposal(source, description or "the start", "full", self.name, calls)


def prompt(names: Sequence[str], members: Members) -> list[Message]:
    """The question for the next mean of some coordinates; ``members`` are given best first, shown best last."""
    lines = [
        f"{', '.join(str(round(float(unit) * RESOLUTION)) for unit in point)} -> {score!r}"
        for point, score in reversed(members)
    ]
    example = ", ".join(str(RESOLUTION // 2) for _ in names)
    system = (
        "You are the update rule of an evolution strategy that maximises a score. You see candidates as integers from "
        f"0 to {RESOLUTION} with their scores, from the worst to the best, and write the next mean of the search "
        "distribution: a point that you expect to score higher than all of them."
    )
    user = (
        f"Coordinates: {', '.join(names)}\n\n" + "\n".join(lines) + "\n\n"
        f"Answer with one line of {len(names)} integers from 0 to {RESOLUTION}, such as: {example}"
    )
    return [Message("system", system), Message("user", user)]


def read(reply: str, count: int) -> Vector | None:
    """The last list of ``count`` integers of a reply as coordinates in 0..1; None where there is none in range."""
    for text in reversed(_LISTS.findall(reply)):
        numbers = [int(part) for part in text.split(",")]
        if len(numbers) == count and max(numbers) <= RESOLUTION:
            return numpy.array(numbers) / RESOLUTION
    return None
