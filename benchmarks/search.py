"""The search against its peers, at equal numbers of evaluations, on sealed tests.

    python benchmarks/search.py                     everything that is not yet in the data file
    python benchmarks/search.py --budgets 200 --problems skills --seeds 0 1
    python benchmarks/search.py --report            tables and curves from the data alone

Every strategy runs in the same loop, with the same seeds of the problem charged to its budget, the same validation and
the same sealed test. Results are added to a data file; what is in it is not run again.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
from pathlib import Path

import search_report as report
import search_runs as runs


def wanted(options: argparse.Namespace, done: list[runs.Result]) -> list[tuple[runs.Case, list[int]]]:
    """The runs that are to be made, the smaller seeds of every strategy first."""
    have = {(result.case, result.budget) for result in done}
    cases = [
        runs.Case(strategy, problem, zoo, seed)
        for seed in options.seeds
        for zoo in options.zoos
        for problem in options.problems
        for strategy in options.strategies
    ]
    return [(case, options.budgets) for case in cases if any((case, budget) not in have for budget in options.budgets)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=["jp_math", "skills"])
    parser.add_argument("--zoos", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--budgets", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--strategies", nargs="+", default=list(runs.STRATEGIES), choices=list(runs.STRATEGIES))
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at a time, one worker each"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/search-benchmark"))
    parser.add_argument("--data", type=Path, default=Path("docs/benchmarks/search.jsonl"))
    parser.add_argument("--report", action="store_true", help="only print what the data file says")
    options = parser.parse_args()
    if not options.report:
        make(options)
    results = runs.load(options.data)
    print(report.tables(results, options.budgets))
    for picture in report.curves(results, options.data.parent):
        print(f"curves: {picture}")


def make(options: argparse.Namespace) -> None:
    """Makes the missing runs, several side by side."""
    options.folder.mkdir(parents=True, exist_ok=True)
    options.data.parent.mkdir(parents=True, exist_ok=True)
    todo = wanted(options, runs.load(options.data))
    for problem in options.problems:  # copies are made before runs share them
        for zoo in options.zoos:
            runs.problem_with_zoo(problem, zoo, options.folder)

    def one(case: runs.Case, budgets: list[int]) -> None:
        for result in runs.run(case, budgets, options.folder):
            have = {(known.case, known.budget) for known in runs.load(options.data)}
            if (case, result.budget) not in have:
                runs.store(options.data, result)
            print(f"{case.name} at {result.budget}: test {result.test:.3f} ({result.run_s:.0f} s)", flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for made in concurrent.futures.as_completed([pool.submit(one, *entry) for entry in todo]):
            if made.exception() is not None:
                pool.shutdown(cancel_futures=True)
            made.result()


if __name__ == "__main__":
    main()
