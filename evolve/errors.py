"""Every error of evolve, as one tree.

- EvolveError: anything the command line prints as one line
    - UsageError: wrong argument, unknown name
    - ProblemError: a problem folder that cannot be used
        - DonorError: a donor that is missing or does not fit the others
        - PreparationError: a problem's prepare step failed
    - RunError: a run folder or database that cannot be used
        - DatabaseBusy: another process writes this run
    - EvaluatorError: the problem's evaluator raised or returned nonsense
    - WorkerError: an evaluation process failed
        - WorkerDied
        - EvaluationTimeout
    - ProposalError: a proposal that became no program
        - PatchError: the reply's edit does not apply
        - NoCodeError: the reply holds no code
        - StageRejected: a program that fails a stage before its evaluation
        - ProviderError: the language-model service failed
            - AuthenticationFailed: a key is missing or refused
    - CandidateError: the program itself is wrong
        - RecipeError: a recipe that cannot be traced
            - RecipeSyntaxError
            - UnsupportedOperation
            - ShapeMismatch
            - ValueDependence: Python control flow on tensor values
        - InvalidPlan: a plan that fails validation
        - OutOfMemory: its evaluation needs more memory than there is
        - SandboxTimeout
        - SandboxMemory
        - SandboxCrash
    - SandboxError: the sandbox itself cannot run here

Each class carries ``reason``, the short word stored with a failed proposal.
"""

from __future__ import annotations


class EvolveError(Exception):
    """Base of all errors; its text says what happened, the value, and what to do next."""

    reason = "error"


class UsageError(EvolveError):
    reason = "usage"


class ProblemError(EvolveError):
    reason = "problem"


class DonorError(ProblemError):
    reason = "donor"


class PreparationError(ProblemError):
    reason = "preparation"


class RunError(EvolveError):
    reason = "run"


class DatabaseBusy(RunError):
    reason = "database_busy"


class EvaluatorError(EvolveError):
    reason = "evaluator_error"


class WorkerError(EvolveError):
    reason = "worker_error"


class WorkerDied(WorkerError):
    reason = "worker_died"


class EvaluationTimeout(WorkerError):
    reason = "evaluation_timeout"


class ProposalError(EvolveError):
    reason = "proposal"


class PatchError(ProposalError):
    reason = "patch"


class NoCodeError(ProposalError):
    reason = "no_code"


class StageRejected(ProposalError):
    reason = "stage"


class ProviderError(ProposalError):
    reason = "provider"


class AuthenticationFailed(ProviderError):
    reason = "authentication"


class CandidateError(EvolveError):
    """The program is at fault; ``line`` is the line of its source, ``kind`` the exception's type name."""

    reason = "runtime_error"

    def __init__(self, message: str, *, line: int | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.kind = kind or type(self).__name__


class RecipeError(CandidateError):
    reason = "recipe"


class RecipeSyntaxError(RecipeError):
    reason = "syntax"


class UnsupportedOperation(RecipeError):
    reason = "unsupported"


class ShapeMismatch(RecipeError):
    reason = "shape"


class ValueDependence(RecipeError):
    reason = "value_dependence"


class InvalidPlan(CandidateError):
    reason = "invalid_plan"


class OutOfMemory(CandidateError):
    reason = "memory"


class SandboxTimeout(CandidateError):
    reason = "timeout"


class SandboxMemory(CandidateError):
    reason = "memory"


class SandboxCrash(CandidateError):
    reason = "crash"


class SandboxError(EvolveError):
    reason = "sandbox"


CANDIDATE_ERRORS: dict[str, type[CandidateError]] = {
    cls.__name__: cls
    for cls in (
        RecipeError, RecipeSyntaxError, UnsupportedOperation, ShapeMismatch, ValueDependence,
        InvalidPlan, SandboxTimeout, SandboxMemory, SandboxCrash,
    )
}  # fmt: skip
