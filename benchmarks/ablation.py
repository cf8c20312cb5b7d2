"""What each part of the search is worth: one part switched at a time, at equal evaluations, on sealed tests.

    python benchmarks/ablation.py                          everything that is not yet in the data file
    python benchmarks/ablation.py --parts scripted --seeds 0 1
    python benchmarks/ablation.py --stop-after-s 600       starts no run after ten minutes
    python benchmarks/ablation.py --report                 the tables from the data alone

`offline` runs the built-in mutator on problems/skills, `scripted` a scripted language model on a small program problem.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import ablation_model as model
import ablation_problem
import ablation_report as report
import search_runs as runs

GROUPS = "proposals.llm=offline/numbers,offline/structure,offline/crossing"

OFFLINE: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "no profiles": ("search.profiles=false",),
    "tuning": ("search.tuning=true",),
    "surrogate": ("search.surrogate=true",),
    "racing": ("evaluation.racing=true",),
    "no second parent": ("search.cross_probability=0.0",),
    "no inspirations": ("search.inspirations=0",),
    "three islands": ("search.islands=3",),
    "power_law parents": ("search.parent_sampler=power_law",),
    "uniform_cell parents": ("search.parent_sampler=uniform_cell",),
    "curiosity parents": ("search.parent_sampler=curiosity",),
    "explore_exploit parents": ("search.parent_sampler=explore_exploit",),
    "beam parents": ("search.parent_sampler=beam",),
    "operator groups by ucb": (GROUPS, "search.bandit=ucb"),
    "operator groups by thompson": (GROUPS, "search.bandit=thompson"),
    "operator groups by weights": (GROUPS, "search.bandit=weights"),
}

SCRIPTED: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "no item feedback": ("proposals.item_feedback=false",),
    "no insights": ("proposals.insights=false",),
    "no scratchpad": ("proposals.scratchpad_every=0",),
    "no prompt archive": ("proposals.prompt_archive=false",),
    "no evolution of thought": ("proposals.evolution_of_thought=0.0",),
    "no repairs": ("search.fix_probability=0.0",),
    "no text novelty": ("novelty.text_threshold=0.0",),
    "told nothing": (
        "proposals.item_feedback=false", "proposals.insights=false", "proposals.scratchpad_every=0",
        "proposals.prompt_archive=false", "proposals.evolution_of_thought=0.0",
    ),
}  # fmt: skip

PARTS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]], int]] = {
    "offline": ("skills", OFFLINE, 150),
    "scripted": ("answers", SCRIPTED, 100),
}
"""The problem of a part, its variants with their settings, and the evaluations of a run."""


def cases(part: str, zoos: list[int], seeds: list[int]) -> list[runs.Case]:
    """All runs of a part, the smaller seeds of every variant first."""
    problem, variants, _ = PARTS[part]
    return [runs.Case(name, problem, zoo, seed) for seed in seeds for zoo in zoos for name in variants]


def make(part: str, case: runs.Case, folder: Path) -> runs.Result:
    """One run."""
    _, variants, budget = PARTS[part]
    settings = list(variants[case.strategy])
    with contextlib.ExitStack() as stack:
        problem = None
        if part == "scripted":
            problem = ablation_problem.write(folder, case.zoo)
            address = stack.enter_context(model.serving(f"{case.zoo} {case.seed}"))
            # One proposal ahead, so that a run depends little on which reply comes first.
            settings += ["proposals.llm=scripted", f"models.scripted.api_base={address}", "proposals.concurrency=1"]
        return next(runs.run(case, [budget], folder, settings, problem))


def missing(options: argparse.Namespace) -> None:
    """Makes the missing runs, one at a time."""
    options.folder.mkdir(parents=True, exist_ok=True)
    options.data.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    for part in options.parts:
        for case in cases(part, options.zoos, options.seeds):
            if options.variants and case.strategy not in options.variants:
                continue
            if any(result.case == case and result.budget == PARTS[part][2] for result in runs.load(options.data)):
                continue
            if options.stop_after_s and time.perf_counter() - began > options.stop_after_s:
                return
            result = make(part, case, options.folder)
            runs.store(options.data, result)
            print(f"{case.name}: test {result.test:.3f} ({result.run_s:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--variants", nargs="+", default=[], help="only these; without it all")
    parser.add_argument("--zoos", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stop-after-s", type=float, default=0.0, help="start no run after so long; 0: no limit")
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation-benchmark"))
    parser.add_argument("--data", type=Path, default=Path("docs/benchmarks/ablation.jsonl"))
    parser.add_argument("--report", action="store_true", help="only print what the data file says")
    options = parser.parse_args()
    if not options.report:
        missing(options)
    results = runs.load(options.data)
    for part in options.parts:
        problem, variants, budget = PARTS[part]
        own = [result for result in results if result.problem == problem]
        print(f"\n{part}: {problem}, {budget} evaluations\n\n{report.table(own, list(variants), budget)}")


if __name__ == "__main__":
    main()
