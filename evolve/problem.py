"""Problems: what is being solved, read from ``problem.toml``."""

from __future__ import annotations

import hashlib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evolve import resources
from evolve.config import BudgetConfig, RunConfig, build, nearest, update
from evolve.donor_statistics import StatisticsSpec
from evolve.errors import DonorError, ProblemError
from evolve.features import FeatureAxis
from evolve.sources import VOCABULARIES, parse_sources, place_of, with_place
from evolve.stages import Stage

SPLITS = ("search", "fresh", "validation", "test", "held_out")


@dataclass(frozen=True)
class ScoreSpec:
    """What is optimised; ``direction`` is ``maximize`` or ``minimize``."""

    metric: str = "score"
    direction: str = "maximize"


@dataclass(frozen=True)
class ObjectiveSpec:
    """One of several things wanted of a program: a metric and ``maximize`` or ``minimize``."""

    metric: str
    direction: str = "maximize"

    @property
    def sign(self) -> float:
        """Factor between the metric and what is maximised."""
        return -1.0 if self.direction == "minimize" else 1.0


@dataclass(frozen=True)
class FeatureSpec:
    """One axis of the archive: fixed bounds, fixed bins."""

    low: float
    high: float
    bins: int


@dataclass(frozen=True)
class TaskSpec:
    """One of several tasks: its weight in the score; a held-out one is only seen in the split ``held_out``."""

    weight: float = 1.0
    held_out: bool = False


@dataclass(frozen=True)
class Profile:
    """One size of a problem: where its donors and items come from.

    ``donors`` are read by evolve.sources; ``vocabulary`` is the reference donor's or the ``union`` of all donors', for
    which ``tokens`` may name the donor whose row a token takes.
    """

    prepare: str = ""
    donors: dict[str, Any] = field(default_factory=dict)
    vocabulary: str = "reference"
    tokens: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    tokenizer: str = ""
    budget: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    statistics: StatisticsSpec | None = None


@dataclass(frozen=True)
class Manifest:
    """The whole of ``problem.toml``."""

    kind: str
    title: str = ""
    default_profile: str = "default"
    score: ScoreSpec = field(default_factory=ScoreSpec)
    objectives: dict[str, ObjectiveSpec] = field(default_factory=dict)
    features: dict[str, FeatureSpec] = field(default_factory=dict)
    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    budget: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    novelty: dict[str, Any] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    proposals: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    stages: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """A problem folder with one of its profiles chosen."""

    name: str
    folder: Path
    manifest: Manifest
    profile_name: str

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def profile(self) -> Profile:
        return self.manifest.profiles.get(self.profile_name, Profile())

    @property
    def evaluator(self) -> Path:
        return self.folder / "evaluate.py"

    @property
    def task(self) -> str:
        """What the language model is told."""
        return (self.folder / "task.md").read_text(encoding="utf-8")

    @property
    def seeds(self) -> dict[str, str]:
        """Source text of every seed by name, in alphabetical order."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted((self.folder / "seeds").glob("*.py"))}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What a program must pass before its evaluation, in order. Raises ProblemError."""
        where = f"{self.folder / 'problem.toml'}: stages"
        found = []
        for number, table in enumerate(self.manifest.stages):
            stage = build(Stage, table, f"{where}[{number}]", ProblemError)
            if stage.fault:
                raise ProblemError(f"{where}[{number}]: {stage.fault}")
            found.append(stage)
        return tuple(found)

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Weight and ``held_out`` of every task by name, as workers are told."""
        return {name: asdict(task) for name, task in self.manifest.tasks.items()}

    @property
    def axes(self) -> list[FeatureAxis]:
        """The features as axes of the archive. Raises ProblemError for bounds that make no axis."""
        return [FeatureAxis(name, one.low, one.high, one.bins) for name, one in self.manifest.features.items()]

    @property
    def sign(self) -> float:
        """Factor between the evaluator's score and the one that is maximised."""
        return -1.0 if self.manifest.score.direction == "minimize" else 1.0

    def config(self) -> RunConfig:
        """The run settings that the problem and its profile ask for."""
        sections = ("budget", "search", "novelty", "sandbox", "evaluation", "proposals", "models")
        tables = {name: getattr(self.manifest, name) for name in sections}
        config = update(RunConfig(), tables, str(self.folder / "problem.toml"), ProblemError)
        profile = {"budget": self.profile.budget, "evaluation": self.profile.evaluation}
        return update(config, profile, f"{self.folder / 'problem.toml'} profile {self.profile_name!r}", ProblemError)

    def located(self, template: str, prepared: Path | None) -> str:
        """A donor or split with ``{prepared}``, ``{problem}`` and ``{data}`` filled in."""
        if "{prepared}" in template and prepared is None:
            raise ProblemError(
                f"{template!r} in profile {self.profile_name!r} names {{prepared}}, but has no `prepare` hook"
            )
        filled = template.replace("{prepared}", str(prepared)).replace("{problem}", str(self.folder))
        return os.path.expanduser(filled.replace("{data}", str(resources.data_folder())))  # noqa: PTH111

    def donors(self, prepared: Path | None) -> dict[str, Any]:
        """Every donor's entry with its folder located."""
        return {
            name: entry if (place := place_of(entry)) is None else with_place(entry, self.located(place, prepared))
            for name, entry in self.profile.donors.items()
        }

    @property
    def vocabulary(self) -> dict[str, Any]:
        """How the donors' vocabularies become one: the arguments ``vocabulary`` and ``tokens`` of load_donors."""
        return {"vocabulary": self.profile.vocabulary, "tokens": self.profile.tokens}

    def splits(self, prepared: Path | None) -> dict[str, str]:
        """Split name to the path of its JSONL file; a relative path lies in the problem folder."""
        found = {name: self.located(value, prepared) for name, value in self.profile.splits.items()}
        return {name: str(self.folder / value) for name, value in found.items()}

    def statistics(self, prepared: Path | None) -> StatisticsSpec | None:
        """What donor statistics are made from, its files located as splits are; None without such a table."""
        spec = self.profile.statistics
        if spec is None:
            return None
        return spec.located(lambda file: str(self.folder / self.located(file, prepared)))

    def with_donors(self, overrides: Mapping[str, str]) -> Problem:
        """The problem with ``--donor NAME=PATH`` applied. Raises ProblemError for an unknown donor name."""
        for name in overrides:
            if name not in self.profile.donors:
                raise ProblemError(f"problem {self.name!r} has no donor {name!r}; {nearest(name, self.profile.donors)}")
        donors = self.profile.donors
        changed = {name: with_place(donors[name], place) for name, place in overrides.items()}
        profile = replace(self.profile, donors={**donors, **changed})
        profiles = {**self.manifest.profiles, self.profile_name: profile}
        return replace(self, manifest=replace(self.manifest, profiles=profiles))

    def digest(self) -> dict[str, str]:
        """sha256 of every file of the problem folder by relative name."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shipped() -> dict[str, Path]:
    """The problems that come with the package, by name."""
    root = resources.folder("problems")
    return {path.parent.name: path.parent for path in sorted(root.glob("*/problem.toml"))}


def load(name: str, profile: str | None = None) -> Problem:
    """The problem in the folder ``name``, or the shipped problem of that name.

    Raises ProblemError: unknown problem, unreadable or wrong problem.toml, missing file, unknown profile.
    """
    folder = _find(name)
    path = folder / "problem.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:  # numbers of 5,000 digits, brackets 1,000 deep
        raise ProblemError(f"{path} cannot be read: {error}") from None
    manifest = build(Manifest, table, str(path), ProblemError)
    chosen = profile or manifest.default_profile
    if (profile or manifest.profiles) and chosen not in manifest.profiles:
        raise ProblemError(f"{path} has no profile {chosen!r}; {nearest(chosen, manifest.profiles)}")
    problem = Problem(folder.resolve().name, folder.resolve(), manifest, chosen)
    _check(problem, path)
    return problem


def _find(name: str) -> Path:
    folder = Path(name)
    if (folder / "problem.toml").is_file():
        return folder
    if folder.is_dir():
        raise ProblemError(f"{folder} holds no problem.toml; `evolve new {folder}` writes a working example")
    known = shipped()
    if name.rstrip("/").removeprefix("problems/") in known:
        return known[name.rstrip("/").removeprefix("problems/")]
    raise ProblemError(f"there is no problem {name!r}; {nearest(Path(name).name, known)}")


def _check(problem: Problem, path: Path) -> None:
    manifest = problem.manifest
    if manifest.kind not in ("merge", "program"):
        raise ProblemError(f"{path}: kind must be 'merge' or 'program', not {manifest.kind!r}")
    if manifest.score.direction not in ("maximize", "minimize"):
        raise ProblemError(
            f"{path}: score.direction must be 'maximize' or 'minimize', not {manifest.score.direction!r}"
        )
    for name, objective in manifest.objectives.items():
        if objective.direction not in ("maximize", "minimize"):
            raise ProblemError(
                f"{path}: objectives.{name}.direction must be 'maximize' or 'minimize', not {objective.direction!r}"
            )
    for name, axis in manifest.features.items():
        if not axis.low < axis.high or axis.bins < 1:
            raise ProblemError(f"{path}: feature {name!r} needs low < high and bins >= 1")
    if manifest.kind == "merge" and not problem.profile.donors:
        raise ProblemError(
            f"{path}: a merge problem needs donors; add a table [profiles.{problem.profile_name}.donors]"
        )
    _check_donors(problem.profile, f"{path}: profile {problem.profile_name!r}")
    for split in problem.profile.splits:
        if split not in SPLITS:
            raise ProblemError(f"{path}: unknown split {split!r}; {nearest(split, SPLITS)}")
    _check_tasks(problem, f"{path}: tasks")
    _check_stages(problem, f"{path}: stages")
    _check_statistics(problem.profile, f"{path}: profiles.{problem.profile_name}.statistics")
    for required in ("evaluate.py", "task.md"):
        if not (problem.folder / required).is_file():
            raise ProblemError(f"{problem.folder / required} is missing; `evolve new` shows a working example")
    if not problem.seeds:
        raise ProblemError(f"{problem.folder / 'seeds'} holds no .py file; a problem needs at least one seed program")
    problem.config()


def _check_tasks(problem: Problem, where: str) -> None:
    tasks = problem.manifest.tasks
    for name, task in tasks.items():
        if not (task.weight > 0 and math.isfinite(task.weight)):
            raise ProblemError(
                f"{where}.{name}.weight must be a positive number, not {task.weight}; or remove the task"
            )
    if tasks and all(task.held_out for task in tasks.values()):
        raise ProblemError(f"{where}: all {len(tasks)} tasks are held out; leave at least one for the search")
    if "held_out" in problem.profile.splits and not any(task.held_out for task in tasks.values()):
        raise ProblemError(f"{where}: the split 'held_out' needs a task with held_out = true; none has it")


def _check_stages(problem: Problem, where: str) -> None:
    stages = problem.stages
    if len({stage.name for stage in stages}) < len(stages):
        raise ProblemError(f"{where}: two stages have the same name; give each its own")
    if problem.kind == "program" and any(stage.needs_plan for stage in stages):
        raise ProblemError(f"{where}: a program has no plan; measure characters or lines, or use kind 'metric'")


def _check_donors(profile: Profile, where: str) -> None:
    try:
        parse_sources(profile.donors)
    except DonorError as error:
        raise ProblemError(f"{where}: {error}") from None
    if profile.vocabulary not in VOCABULARIES:
        raise ProblemError(f"{where}: vocabulary must be one of {', '.join(VOCABULARIES)}, not {profile.vocabulary!r}")
    if profile.vocabulary == "union" and profile.tokenizer:
        raise ProblemError(f'{where}: with vocabulary = "union" the tokenizer is made; remove the key tokenizer')
    if profile.vocabulary != "union" and profile.tokens:
        raise ProblemError(f'{where}: the table tokens needs vocabulary = "union"')
    for token, name in profile.tokens.items():
        if name not in profile.donors:
            raise ProblemError(
                f"{where}: the token {token!r} names no donor: {name!r}; {nearest(name, profile.donors)}"
            )


def _check_statistics(profile: Profile, where: str) -> None:
    if (spec := profile.statistics) is None:
        return
    if fault := spec.fault():
        raise ProblemError(f"{where}.{fault}")
    if isinstance(spec.texts, str):
        return
    for name in spec.texts:
        if name not in profile.donors:
            raise ProblemError(f"{where}.texts names no donor: {name!r}; {nearest(name, profile.donors)}")
    for name in profile.donors:
        if name not in spec.texts:
            raise ProblemError(f'{where}.texts has no file for the donor {name!r}; add {name} = "FILE.jsonl"')


def budget_text(budget: BudgetConfig) -> str:
    """The limits in words, such as ``200 evaluations, $5.00``."""
    parts = [f"{budget.evaluations} evaluations"] if budget.evaluations else []
    parts += [f"${budget.usd:.2f}"] if budget.usd else []
    parts += [f"{budget.time_s / 60:.0f} min"] if budget.time_s else []
    return ", ".join(parts) or "no limit"
