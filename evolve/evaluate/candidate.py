"""What a problem's evaluator gets to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from evolve.sandbox import Program, Sandbox

T = TypeVar("T")


@dataclass(frozen=True)
class MergeCandidate:
    """A live merged model and the items of one split.

    ``model`` and ``tokenizer`` are transformers objects; the next candidate overwrites the model, so keep no reference.
    ``items`` are the objects of the split's file in its order (or some of them, while the candidate is raced),
    ``settings`` the table of the problem's profile, ``task_weights`` the weights of
    problem.toml's tasks. ``answers`` remembers what was generated, where an evaluation asks for the same in several
    steps; ``positions`` are then those of the items in the split. With ``halved`` half as many prompts are answered at
    a time as usual.
    """

    model: Any
    tokenizer: Any
    items: Sequence[Mapping[str, Any]]
    split: str
    settings: Mapping[str, Any]
    answers: dict[tuple[str, Any], Any] | None = field(default=None, repr=False, compare=False)
    task_weights: Mapping[str, float] = field(default_factory=dict)
    positions: Sequence[int] = field(default=(), repr=False, compare=False)
    halved: bool = field(default=False, repr=False, compare=False)

    def each(self, name: str, answer: Callable[[Sequence[Mapping[str, Any]]], Sequence[T]]) -> list[T]:
        """What ``answer(items)`` gives for each item; while a candidate is raced, no item is asked twice under a name.

        For evaluators that compute with ``model`` themselves; the result for an item must not depend on the others.
        """
        if self.answers is None:
            return list(answer(self.items))
        new = [place for place, position in enumerate(self.positions) if (name, position) not in self.answers]
        results = answer([self.items[place] for place in new]) if new else []
        for place, result in zip(new, results, strict=True):
            self.answers[name, self.positions[place]] = result
        return [self.answers[name, position] for position in self.positions]

    def generate(self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """The model's greedy continuation of each prompt, cut before the first stop string."""
        from evolve.evaluate.generation import generate

        if self.answers is None:
            return generate(self.model, self.tokenizer, prompts, max_new_tokens, stop, halved=self.halved)
        how = (max_new_tokens, tuple(stop))
        new = [prompt for prompt in dict.fromkeys(prompts) if (prompt, how) not in self.answers]
        texts = generate(self.model, self.tokenizer, new, max_new_tokens, stop, halved=self.halved)
        self.answers.update(((prompt, how), text) for prompt, text in zip(new, texts, strict=True))
        return [self.answers[prompt, how] for prompt in prompts]

    def perplexity(self, texts: Sequence[str]) -> float:
        """The exponential of the mean surprise (nats) of a token of ``texts``, the first of each text left out.

        Raises CandidateError when the model's numbers are not finite.
        """
        from evolve.evaluate.perplexity import perplexity

        return perplexity(self.model, self.tokenizer, texts)


@dataclass
class ProgramCandidate:
    """A program's source and a way to call its functions in the sandbox, plus the items of one split.

    The program is loaded by the first call into one jailed process that keeps its state until the evaluation ends.
    What it returns is only data: plain values and numpy arrays, to be checked by the evaluator.
    """

    source: str
    items: Sequence[Mapping[str, Any]]
    split: str
    settings: Mapping[str, Any]
    sandbox: Sandbox = field(repr=False)
    task_weights: Mapping[str, float] = field(default_factory=dict)
    _program: Program | None = field(default=None, init=False, repr=False)

    def call(self, name: str, *args: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """What the program's function ``name`` returns; ``timeout_s`` replaces the sandbox's limit for this call.

        Raises CandidateError for whatever goes wrong in the program; let it pass, and it becomes the program's failure.
        After a timeout or crash the next call starts the program anew.
        """
        from evolve.sandbox import Program

        if self._program is not None and not self._program.alive:
            self.close()
        if self._program is None:
            self._program = Program(self.sandbox, self.source, timeout_s)
        return self._program.call(name, *args, timeout_s=timeout_s, **kwargs)

    def close(self) -> None:
        """Ends the program's process."""
        if self._program is not None:
            self._program.close()
            self._program = None
