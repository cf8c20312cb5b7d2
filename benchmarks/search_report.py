"""Tables and curves of the search benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import search_runs as runs
from scipy.stats import t as student

CONFIDENCE = 0.95
OURS = next(iter(runs.STRATEGIES))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval of the mean of independent runs; infinite for fewer than two."""
    if len(values) < 2:
        return -math.inf, math.inf
    mean, spread = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return mean - reach, mean + reach


def differences(results: Iterable[runs.Result], peer: str, budget: int, ours: str = OURS) -> list[float]:
    """Test score of ``ours`` minus the peer's, for every problem, zoo and seed that both have."""
    found = {result.case: result.test for result in results if result.budget == budget}
    pairs = []
    for case, test in sorted(found.items(), key=lambda pair: pair[0].name):
        other = runs.Case(peer, case.problem, case.zoo, case.seed)
        if case.strategy == ours and other in found:
            pairs.append(test - found[other])
    return pairs


def tables(results: Sequence[runs.Result], budgets: Iterable[int]) -> str:
    """Markdown: for each budget and problem the mean test score and the paired difference to every peer."""
    parts = []
    problems = sorted({result.problem for result in results})
    for budget in sorted(budgets):
        groups = [(problem, [r for r in results if r.problem == problem]) for problem in problems]
        if len(problems) > 1:
            groups.append(("all problems", list(results)))
        for name, group in groups:
            at = [result for result in group if result.budget == budget]
            if at:
                parts.append(f"\n{name}, {budget} evaluations\n\n" + _table(at, budget))
    return "\n".join(parts)


def _table(results: Sequence[runs.Result], budget: int) -> str:
    rows = ["| strategy | runs | search | validation | test | evolve minus this |", "|---|--:|--:|--:|--:|--:|"]
    for strategy in runs.STRATEGIES:
        own = [result for result in results if result.strategy == strategy]
        if not own:
            continue
        means = [
            statistics.fmean(getattr(result, split) for result in own) for split in ("search", "validation", "test")
        ]
        pairs = differences(results, strategy, budget) if strategy != OURS else []
        low, high = interval(pairs) if pairs else (0.0, 0.0)
        text = f"{statistics.fmean(pairs):+.3f} [{low:+.3f}, {high:+.3f}]" if pairs else ""
        rows.append(f"| {strategy} | {len(own)} | " + " | ".join(f"{mean:.3f}" for mean in means) + f" | {text} |")
    return "\n".join(rows)


ENOUGH = 3
"""Runs whose mean makes a curve, although there are more that ended earlier."""


def curves(results: Sequence[runs.Result], folder: Path) -> list[Path]:
    """A picture for each problem: best search score so far, mean over runs, of every strategy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    made = []
    for problem in sorted({result.problem for result in results}):
        longest = {r.case: r for r in sorted(results, key=lambda r: r.budget) if r.problem == problem}
        figure, axes = pyplot.subplots(figsize=(8, 5))
        for strategy in runs.STRATEGIES:
            found = [result for result in longest.values() if result.strategy == strategy]
            most = max((result.budget for result in found), default=0)
            whole = [result for result in found if result.budget == most]
            # a mean of many short curves says less than one of enough long ones
            own = [result.curve for result in (whole if len(whole) >= ENOUGH else found)]
            if own:
                length = min(map(len, own))
                means = [statistics.fmean(curve[i] for curve in own) for i in range(length)]
                axes.plot(range(1, length + 1), means, label=f"{strategy} ({len(own)} runs)")
        axes.set(xlabel="evaluations", ylabel="best search score so far, mean", title=problem, xscale="log")
        axes.legend(loc="upper left", fontsize=8)
        figure.savefig(folder / f"search-{problem}.png", dpi=110, bbox_inches="tight")
        pyplot.close(figure)
        made.append(folder / f"search-{problem}.png")
    return made
